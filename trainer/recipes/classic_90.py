"""ImageNet in 90 epochs, SGD (Goyal et al. 2017, arXiv:1706.02677, with a cosine).

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe classic-90
expected:  76.4 to 77.1 % top-1 with ResNet-50 at 224 pixels, as published for this schedule
time:      not measured here
"""

SETTINGS = {
    "train.batch": 1024,
    "train.epochs": 90.0,
    "optim.lr": 0.1,
    "optim.momentum": 0.9,
    "optim.weight_decay": 1e-4,
    "optim.warmup_epochs": 5.0,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.1,
    "data.flip": True,
}
