"""ImageNet in 300 epochs with ConvNeXt-T: AdamW, RandAugment, mixup, CutMix and erasing.

command:   resnet-launch --slice v4-32 --arch convnext-t --recipe convnext-t --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      not measured here
expected:  82.1 % top-1 with ConvNeXt-T at 224 pixels, as published
source:    Liu et al. 2022 (arXiv:2201.03545) and facebookresearch/ConvNeXt, TRAINING.md and main.py: 128
           images on each of 32 GPUs, the rate not scaled
measured:  not measured here
"""

FAMILY = "convnext"

SETTINGS = {
    "train.batch": 4096,
    "train.epochs": 300.0,
    "model.stochastic_depth": 0.1,
    "data.flip": True,
    "optim.name": "adamw",
    "optim.lr": 4e-3,
    "optim.lr_batch": 0,
    "optim.momentum": 0.9,
    "optim.beta2": 0.999,
    "optim.epsilon": 1e-8,
    "optim.weight_decay": 0.05,
    "optim.warmup_epochs": 20.0,
    "optim.schedule": "cosine",
    "optim.final_lr": 1e-6,
    "optim.label_smoothing": 0.1,
    "optim.ema": 0.9999,
    "augment.policy": "rand",
    "augment.magnitude": 9.0,
    "augment.magnitude_std": 0.5,
    "augment.erase": 0.25,
    "augment.erase_fill": "noise",
    "augment.mixup": 0.8,
    "augment.cutmix": 1.0,
}
