"""torchvision's second weights of ResNet-50: 600 epochs, TrivialAugment, averaged weights.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe torchvision-v2
expected:  80.85 % top-1 with ResNet-50 at 224 pixels, as published; trained at 176
time:      not measured here
source:    torchvision's reference script: its rate moves once an epoch, here each step. Its average of the
           weights moves by 2e-5 x (1024 x 32 / 600) every 32 steps, which gives the decay below; biases of
           the head decay there and not here
"""

SETTINGS = {
    "train.batch": 1024,
    "train.epochs": 600.0,
    "optim.lr": 0.5,
    "optim.lr_batch": 0,
    "optim.momentum": 0.9,
    "optim.nesterov": False,
    "optim.weight_decay": 2e-05,
    "optim.warmup_epochs": 5.0,
    "optim.warmup_lr": 0.005,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.1,
    "optim.ema": 0.998908,
    "optim.ema_every_steps": 32,
    "augment.policy": "trivial",
    "augment.erase": 0.1,
    "augment.mixup": 0.2,
    "augment.cutmix": 1.0,
    "augment.repeats": 4,
    "augment.resolution": 176,
    "data.flip": True,
}
