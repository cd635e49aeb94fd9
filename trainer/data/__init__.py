"""From a dataset on a disk or in a bucket to batches in memory."""
