"""A trained network, in and out of files."""
