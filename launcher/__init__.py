"""From two words to a running, watched, restartable slice job on Kubernetes."""
