"""Trained networks: weights files, conversion to and from other libraries, predictions."""
