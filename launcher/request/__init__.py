"""From words to a checked, frozen TrainingJob."""
