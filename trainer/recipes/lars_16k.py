"""ImageNet with the LARS optimizer and a batch of 16,384 images, for large slices.

command:   resnet-launch --slice v4-128 --arch resnet50 --recipe lars-16k --data gs://BUCKET/imagenet
slice:     v4-128, 64 chips on 16 hosts
time:      not measured here
expected:  75.9 % top-1 with ResNet-50, the accuracy at which MLPerf Training stops its clock
source:    MLPerf Training, submissions with LARS; the round was not recorded. The reference convergence
           points of round 1.0 (mlcommons/logging, rcps_resnet.json) have none for 16,384 images.
measured:  not measured here
"""

FAMILY = "resnet"

SETTINGS = {
    "train.batch": 16384,
    "train.epochs": 56.0,
    "optim.name": "lars",
    "optim.lr": 25.0,
    "optim.lr_batch": 0,
    "optim.momentum": 0.9,
    "optim.nesterov": False,
    "optim.trust": 0.001,
    "optim.weight_decay": 0.0002,
    "optim.warmup_epochs": 5.0,
    "optim.schedule": "polynomial",
    "optim.power": 2.0,
    "optim.final_lr": 0.0001,
    "optim.label_smoothing": 0.1,
    "data.flip": True,
}
