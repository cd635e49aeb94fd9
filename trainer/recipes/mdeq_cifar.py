"""Multiscale equilibrium model on CIFAR-10: 18 iterations of Broyden's method, a phantom gradient.

command:   resnet-launch --slice v5e-4 --arch mdeq-cifar --recipe mdeq-cifar --data gs://BUCKET/cifar10
slice:     v5e-4, 4 chips on one host
time:      not published; not measured here
expected:  95.0 % top-1 on the 10,000 test images, as published
source:    locuslab/torchdeq, deq-zoo/mdeq: README.md for the accuracy, mdeq_cifar/run.sh and
           configs/large.yaml for the settings, with 64 images on each of two GPUs.
measured:  not measured here
"""

FAMILY = "deq"

SETTINGS = {
    "train.batch": 128,
    "train.epochs": 220.0,
    "model.damping": 0.7,
    "optim.lr": 0.1,
    "optim.lr_batch": 128,
    "optim.momentum": 0.9,
    "optim.nesterov": False,
    "optim.weight_decay": 1e-4,
    "optim.decay": "all",
    "optim.warmup_epochs": 0.0,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.0,
    "data.image_size": 32,
    "data.shift_pixels": 4,
    "data.flip": True,
}
