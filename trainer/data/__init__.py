"""Datasets by name. The table is data, so that reading a name costs no import."""

# name -> module of this package with ``load(split, config) -> Source``
DATASETS = {"digits": "digits", "fashion-mnist": "idx", "synthetic": "synthetic"}
