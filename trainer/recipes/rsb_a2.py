"""ResNet strikes back, procedure A2 (arXiv:2110.00476, table 2): LAMB, binary loss.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe rsb-a2
expected:  79.8 % top-1 with ResNet-50 at 224 pixels, as published
time:      2.3 days on 4 V100 in the paper; not measured here
unknown:   where warm-up and cosine begin and end is not in the paper: both at 0 here
"""

SETTINGS = {
    "train.batch": 2048,
    "train.epochs": 300.0,
    "model.stochastic_depth": 0.05,
    "optim.name": "lamb",
    "optim.lr": 0.005,
    "optim.lr_batch": 0,
    "optim.weight_decay": 0.02,
    "optim.warmup_epochs": 5.0,
    "optim.schedule": "cosine",
    "optim.loss": "binary",
    "optim.label_smoothing": 0.0,
    "augment.policy": "rand",
    "augment.magnitude": 7.0,
    "augment.magnitude_std": 0.5,
    "augment.mixup": 0.1,
    "augment.cutmix": 1.0,
    "augment.repeats": 3,
    "augment.resolution": 0,
    "data.flip": True,
}
