"""ImageNet in 600 epochs as torchvision trained IMAGENET1K_V2: TrivialAugment and averaged weights.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe torchvision-v2 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      not measured here
expected:  80.85 % top-1 with ResNet-50 at 224 pixels, as published; trained at 176 pixels
source:    pytorch/vision, references/classification. Its learning rate changes once per epoch, ours at each
           step. It decays the bias of the head, and we do not. It averages the weights every 32 steps with
           1 - decay = 2e-5 x (1,024 images x 32 steps / 600 epochs) = 0.001092.
measured:  not measured here
"""

FAMILY = "resnet"

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
