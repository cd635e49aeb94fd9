"""ImageNet with the LARS optimizer and a batch of 8,192 images, for large slices.

command:   resnet-launch --slice v4-128 --arch resnet50 --recipe lars-8k --data gs://BUCKET/imagenet
slice:     v4-128, 64 chips on 16 hosts
time:      not measured here
expected:  75.9 % top-1 with ResNet-50, the accuracy at which MLPerf Training stops its clock
source:    MLPerf Training 1.0, reference convergence point for 8,192 images: mlcommons/logging,
           mlperf_logging/rcp_checker/1.0.0/rcps_resnet.json
measured:  not measured here
"""

FAMILY = "resnet"

SETTINGS = {
    "train.batch": 8192,
    "train.epochs": 42.0,
    "optim.name": "lars",
    "optim.lr": 17.0,
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
