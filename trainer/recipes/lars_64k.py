"""ImageNet with the LARS optimizer and a batch of 65,536 images, for large slices.

command:   resnet-launch --slice v4-512 --arch resnet50 --recipe lars-64k --data gs://BUCKET/imagenet
slice:     v4-512, 256 chips on 64 hosts
time:      not measured here
expected:  75.9 % top-1 with ResNet-50, the accuracy at which MLPerf Training stops its clock
source:    MLPerf Training, submissions with LARS; the round was not recorded. The reference convergence
           points of round 1.0 (mlcommons/logging, rcps_resnet.json) differ at this batch: rate 24.699,
           31 epochs of warm-up and momentum 0.951807.
measured:  not measured here
"""

FAMILY = "resnet"

SETTINGS = {
    "train.batch": 65536,
    "train.epochs": 92.0,
    "optim.name": "lars",
    "optim.lr": 23.081,
    "optim.lr_batch": 0,
    "optim.momentum": 0.95372,
    "optim.nesterov": False,
    "optim.trust": 0.001,
    "optim.weight_decay": 0.0001,
    "optim.warmup_epochs": 33.0,
    "optim.schedule": "polynomial",
    "optim.power": 2.0,
    "optim.final_lr": 0.0001,
    "optim.label_smoothing": 0.1,
    "data.flip": True,
}
