"""ImageNet with the LARS optimizer and a batch of 32,768 images, for large slices.

command:   resnet-launch --slice v4-256 --arch resnet50 --recipe lars-32k --data gs://BUCKET/imagenet
slice:     v4-256, 128 chips on 32 hosts
time:      not measured here
expected:  75.9 % top-1 with ResNet-50, the accuracy at which MLPerf Training stops its clock
source:    MLPerf Training, submissions with LARS; the round was not recorded. The reference convergence
           points of round 1.0 (mlcommons/logging, rcps_resnet.json) differ at this batch: rate 21.2,
           16 epochs of warm-up and momentum 0.94.
measured:  not measured here
"""

FAMILY = "resnet"

SETTINGS = {
    "train.batch": 32768,
    "train.epochs": 64.0,
    "optim.name": "lars",
    "optim.lr": 29.0,
    "optim.lr_batch": 0,
    "optim.momentum": 0.929,
    "optim.nesterov": False,
    "optim.trust": 0.001,
    "optim.weight_decay": 0.0001,
    "optim.warmup_epochs": 18.0,
    "optim.schedule": "polynomial",
    "optim.power": 2.0,
    "optim.final_lr": 0.0001,
    "optim.label_smoothing": 0.1,
    "data.flip": True,
}
