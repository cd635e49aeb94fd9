"""The request: values from flags, files and environment become a checked, frozen TrainingJob."""
