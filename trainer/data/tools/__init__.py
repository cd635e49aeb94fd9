"""What the verbs of ``python -m trainer.data`` do to a dataset."""
