"""Multiscale equilibrium model on ImageNet: 26 plain iterations, a phantom gradient of five steps.

command:   resnet-launch --slice v5e-8 --arch mdeq-small --recipe mdeq-small --data gs://BUCKET/imagenet
slice:     v5e-8, 8 chips on 2 hosts
time:      not published; not measured here
expected:  75.7 % top-1 with MDEQ-small at 224 pixels, as published; 73.6 % with 10 iterations at evaluation
source:    locuslab/torchdeq, deq-zoo/mdeq: README.md for the accuracy, mdeq_imagenet/run_mdeq.sh for the
           settings, with 64 images on each of two GPUs. There the sides of a crop
           are in the ratio of 0.8 to 1.25.
measured:  not measured here
"""

FAMILY = "deq"

SETTINGS = {
    "train.batch": 128,
    "train.epochs": 100.0,
    "optim.lr": 0.05,
    "optim.lr_batch": 128,
    "optim.momentum": 0.9,
    "optim.nesterov": True,
    "optim.weight_decay": 5e-5,
    "optim.decay": "all",
    "optim.warmup_epochs": 0.0,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.0,
    "data.min_area": 0.1,
    "data.flip": True,
}
