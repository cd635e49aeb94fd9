"""Networks by name. The table is data, so that reading a name costs no import of jax."""

# name -> (module, class, keyword arguments); each module holds one family.
ARCHS = {
    "resnet18": ("resnet", "ResNet", {"block": "basic", "stage_sizes": (2, 2, 2, 2)}),
    "resnet34": ("resnet", "ResNet", {"block": "basic", "stage_sizes": (3, 4, 6, 3)}),
    "resnet50": ("resnet", "ResNet", {"block": "bottleneck", "stage_sizes": (3, 4, 6, 3)}),
    "resnet101": ("resnet", "ResNet", {"block": "bottleneck", "stage_sizes": (3, 4, 23, 3)}),
    "resnet152": ("resnet", "ResNet", {"block": "bottleneck", "stage_sizes": (3, 8, 36, 3)}),
    # Two stages of one block: for tests and for trying a cluster, trains in seconds on a CPU.
    "resnet-tiny": ("resnet", "ResNet", {"block": "basic", "stage_sizes": (1, 1)}),
}
