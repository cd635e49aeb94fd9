"""The run directory: what outlives a restart."""
