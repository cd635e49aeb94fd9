"""Arrays and programs on the devices: mesh, placement, compilation."""
