"""ResNet strikes back, procedure A2: ImageNet with LAMB and a binary cross-entropy per class.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe rsb-a2 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      2.3 days on 4 V100, as published; not measured here
expected:  79.8 % top-1 with ResNet-50 at 224 pixels, as published
source:    Wightman et al. 2021 (arXiv:2110.00476), table 2. The paper does not give the learning rates at
           the start of the warm-up and the end of the cosine; both are 0 here.
measured:  not measured here
"""

FAMILY = "resnet"

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
