"""From a TrainingJob to Kubernetes objects: pure functions, the same bytes for the same request."""
