"""A network and a dataset of one's own, on the trainer of resnet-launch."""
