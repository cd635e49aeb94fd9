"""Networks, datasets and libraries by name, as plain tables: looking up a name does not import jax."""

RESNET50 = {"block": "bottleneck", "stage_sizes": (3, 4, 6, 3)}
RESNET101 = {"block": "bottleneck", "stage_sizes": (3, 4, 23, 3)}

# name -> (module of trainer.models, sizes that its function ``architecture`` takes); each holds one family
ARCHS = {
    "resnet18": ("resnet", {"block": "basic", "stage_sizes": (2, 2, 2, 2)}),
    "resnet34": ("resnet", {"block": "basic", "stage_sizes": (3, 4, 6, 3)}),
    "resnet50": ("resnet", RESNET50),
    "resnet101": ("resnet", RESNET101),
    "resnet152": ("resnet", {"block": "bottleneck", "stage_sizes": (3, 8, 36, 3)}),
    "wide-resnet50-2": ("resnet", {**RESNET50, "group_width": 128}),
    "wide-resnet101-2": ("resnet", {**RESNET101, "group_width": 128}),
    "resnext50-32x4d": ("resnet", {**RESNET50, "groups": 32, "group_width": 4}),
    "resnext101-32x8d": ("resnet", {**RESNET101, "groups": 32, "group_width": 8}),
    "resnext101-64x4d": ("resnet", {**RESNET101, "groups": 64, "group_width": 4}),
    # Two stages of one block: for tests and for trying a cluster, trains in seconds on a CPU.
    "resnet-tiny": ("resnet", {"block": "basic", "stage_sizes": (1, 1)}),
}

# MB of high-bandwidth memory that one training image of 224 pixels moves, with operations fused as compilers
# do; this traffic bounds the rate. From a count of every layer's activations.
MB_PER_IMAGE = {"resnet18": 63, "resnet34": 95, "resnet50": 286, "resnet101": 419, "resnet152": 584}

# name -> module of trainer.data.formats with ``load(split, config) -> Source``
DATASETS = {"digits": "digits", "fashion-mnist": "idx", "synthetic": "synthetic"}

# libraries whose weights are read and written; timm uses torchvision's names and adds some
LIBRARIES = ("torchvision", "timm")
