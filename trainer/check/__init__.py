"""``python -m trainer.check``: a run's own steps, compiled for hardware that is not here."""
