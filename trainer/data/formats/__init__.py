"""One file per format of a dataset: how it is recognised and read."""
