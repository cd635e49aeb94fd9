"""One file per verb of ``resnet-launch``: its options, and what it prints."""
