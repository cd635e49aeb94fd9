"""Formats of datasets, one file each, and how a path's format is detected."""
