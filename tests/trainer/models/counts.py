"""Parameters of the networks that have a name, for images of 224 pixels and 1000 classes.

A new name needs a line here, from a source other than this code. The small networks of families.py need none.
"""

# torchvision
RESNETS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "wide-resnet50-2": 68_883_240,
    "wide-resnet101-2": 126_886_696,
    "resnext50-32x4d": 25_028_904,
    "resnext101-32x8d": 88_791_336,
    "resnext101-64x4d": 83_455_272,
}

# timm, at 224 pixels: vit_*_patch*_224, deit3_*_patch16_224
TRANSFORMERS = {
    "vit-ti16": 5_717_416,
    "vit-s16": 22_050_664,
    "vit-s32": 22_878_952,
    "vit-b16": 86_567_656,
    "vit-b32": 88_224_232,
    "vit-l16": 304_326_632,
    "deit3-s16": 22_059_496,
    "deit3-b16": 86_585_320,
    "deit3-l16": 304_374_760,
}

# torchvision for B0 to B7 and V2 S, M, L; timm for V2 B0 (tf_efficientnetv2_b0)
EFFICIENTNETS = {
    "efficientnet-b0": 5_288_548,
    "efficientnet-b1": 7_794_184,
    "efficientnet-b2": 9_109_994,
    "efficientnet-b3": 12_233_232,
    "efficientnet-b4": 19_341_616,
    "efficientnet-b5": 30_389_784,
    "efficientnet-b6": 43_040_704,
    "efficientnet-b7": 66_347_960,
    "efficientnetv2-b0": 7_139_704,
    "efficientnetv2-s": 21_458_488,
    "efficientnetv2-m": 54_139_356,
    "efficientnetv2-l": 118_515_272,
}

# torchvision
CONVNEXTS = {
    "convnext-t": 28_589_128,
    "convnext-s": 50_223_688,
    "convnext-b": 88_591_464,
}

# timm: dm_nfnet_f0 to f6, nf_resnet50
NFNETS = {
    "nfnet-f0": 71_489_284,
    "nfnet-f1": 132_634_256,
    "nfnet-f2": 193_779_228,
    "nfnet-f3": 254_924_200,
    "nfnet-f4": 316_069_172,
    "nfnet-f5": 377_214_144,
    "nfnet-f6": 438_359_116,
    "nf-resnet50": 25_557_032,
}

# timm: resnetv2_50 and its like
PREACTIVATION = {
    "resnetv2-50": 25_549_352,
    "resnetv2-101": 44_541_480,
    "resnetv2-152": 60_185_128,
}

# With 990 more classes than the papers' 10: 0.27, 0.46, 0.66, 0.85, 1.7 and 19.4 M of arXiv:1512.03385, table
# 6, 1.7 and 10.3 M of arXiv:1603.05027, each with BatchNorm's scales and biases.
CIFAR = {
    "cifar-resnet20": 269_722 + 990 * 65,
    "cifar-resnet32": 464_154 + 990 * 65,
    "cifar-resnet44": 658_586 + 990 * 65,
    "cifar-resnet56": 853_018 + 990 * 65,
    "cifar-resnet110": 1_727_962 + 990 * 65,
    "cifar-resnet1202": 19_421_274 + 990 * 65,
    "cifar-preact164": 1_703_258 + 990 * 257,
    "cifar-preact1001": 10_327_706 + 990 * 257,
    "cifar-plain20": 269_722 + 990 * 65,
    "cifar-plain56": 853_018 + 990 * 65,
    "cifar-plain110": 1_727_962 + 990 * 65,
}

# locuslab/torchdeq, deq-zoo/mdeq: 16,808,456, and 11,099,998 for 10 classes. There readout convolutions have
# biases (3,392 and 2,464 fewer here), and the BatchNorm of the blocks has no scales and biases (4,320
# and 2,520 more here). On ImageNet the last convolutions of the layer have no gains there (480 more here).
EQUILIBRIA = {"mdeq-small": 16_809_864, "mdeq-cifar": 11_100_054 + 990 * 1681}

COUNTS = RESNETS | TRANSFORMERS | EFFICIENTNETS | CONVNEXTS | NFNETS
COUNTS |= PREACTIVATION | CIFAR | EQUILIBRIA
