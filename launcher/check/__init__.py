"""What can be known before a pod starts: memory, step time, and what the cluster and the bucket lack."""
