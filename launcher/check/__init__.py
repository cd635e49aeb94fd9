"""The check of a run before a pod starts: memory, step time, and what the cluster and the bucket lack."""
