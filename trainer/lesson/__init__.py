"""The lesson of ``resnet-train depth``: why residual networks train at any depth, and plain ones do not."""
