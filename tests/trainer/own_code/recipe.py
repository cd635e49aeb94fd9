"""A recipe of this package."""

SETTINGS = {"recipe": "digits", "train.batch": 32, "optim": {"lr": 0.05}}
