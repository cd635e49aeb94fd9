"""ImageNet in 300 epochs with ViT-S/16: the plain recipe of big_vision, with AdamW, RandAugment and mixup.

command:   resnet-launch --slice v4-32 --arch vit-s16 --recipe vit-s16-300 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      21.7 hours on v3-8, as published; not measured here
expected:  80 % top-1 at 224 pixels, as published
source:    Beyer et al. 2022 (arXiv:2205.01580) and google-research/big_vision,
           big_vision/configs/vit_s16_i1k.py. Its decay of 1e-4 is not multiplied by the peak of the rate, as
           that of AdamW is: 1e-4 / 1e-3 = 0.1. It trains on 99 % of the training split, and here on all of
           it. It takes the approximate GELU, and here the exact one is used.
measured:  not measured here
"""

FAMILY = "vit"

SETTINGS = {
    "train.batch": 1024,
    "train.epochs": 300.0,
    "model.pool": "mean",
    "model.positions": "sincos2d",
    "model.representation": True,
    "data.normalize": "symmetric",
    "data.min_area": 0.05,
    "data.flip": True,
    "optim.name": "adamw",
    "optim.lr": 1e-3,
    "optim.lr_batch": 0,
    "optim.momentum": 0.9,
    "optim.momentum_dtype": "bfloat16",
    "optim.beta2": 0.999,
    "optim.epsilon": 1e-8,
    "optim.weight_decay": 0.1,
    "optim.clip_norm": 1.0,
    "optim.warmup_steps": 10_000,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.0,
    "augment.policy": "rand-google",
    "augment.operations": 2,
    "augment.magnitude": 10.0,
    "augment.mixup": 0.2,
    "augment.partner": "previous",
}
