"""CIFAR-10 in 64,000 steps of SGD, with residual, plain or pre-activation networks of any depth.

command:   resnet-launch --slice v4-8 --arch cifar-resnet110 --recipe cifar-resnet --data gs://BUCKET/cifar-10
slice:     v4-8, 4 chips on 1 host
time:      not measured here
expected:  93.57 % top-1 with cifar-resnet110, as published; 91.25 % with cifar-resnet20, 93.03 % with
           cifar-resnet56. cifar-preact1001 has 95.08 % (median, batch 128) and 95.38 % (batch 64)
source:    He et al. 2015 (arXiv:1512.03385), section 4.2 and table 6, for batch, rates and augmentation: the
           rate falls at 32,000 and 48,000 steps, which are epochs 82 and 123. KaimingHe/resnet-1k-layers for
           1,001 layers. 110 layers and more begin at a rate of 0.01 for about 400 steps, here for an epoch
measured:  not measured here
"""

FAMILY = "cifar"

SETTINGS = {
    "train.batch": 128,
    "train.epochs": 164.0,
    "data.image_size": 32,
    "data.shift_pixels": 4,
    "data.flip": True,
    "optim.lr": 0.1,
    "optim.lr_batch": 0,
    "optim.momentum": 0.9,
    "optim.nesterov": False,
    "optim.weight_decay": 1e-4,
    "optim.warmup_epochs": 1.0,
    "optim.warmup_lr": 0.01,
    "optim.schedule": "step",
    "optim.step_epochs": "82,123",
    "optim.label_smoothing": 0.0,
}
