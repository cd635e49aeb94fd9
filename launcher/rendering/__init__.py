"""Kubernetes objects from a TrainingJob: pure functions, the same bytes for the same request."""
