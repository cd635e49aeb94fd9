"""What can be known before a pod starts: memory, step time, the cluster, the bucket."""
