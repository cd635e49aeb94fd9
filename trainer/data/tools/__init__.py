"""Pack, verify, describe and measure a dataset: the work behind ``python -m trainer.data``."""
