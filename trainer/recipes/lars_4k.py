"""ImageNet with the LARS optimizer and a batch of 3,264 images, for large slices.

command:   resnet-launch --slice v4-128 --arch resnet50 --recipe lars-4k --data gs://BUCKET/imagenet
slice:     v4-128, 64 chips on 16 hosts
time:      not measured here
expected:  75.9 % top-1 with ResNet-50, the accuracy at which MLPerf Training stops its clock
source:    MLPerf Training 1.0, reference convergence point for 3,264 images: mlcommons/logging,
           mlperf_logging/rcp_checker/1.0.0/rcps_resnet.json.
           It has another point for 4,096 images. The learning rate is not scaled with the batch.
measured:  not measured here
"""

FAMILY = "resnet"

SETTINGS = {
    "train.batch": 3264,
    "train.epochs": 37.0,
    "optim.name": "lars",
    "optim.lr": 10.5,
    "optim.lr_batch": 0,
    "optim.momentum": 0.9,
    "optim.nesterov": False,
    "optim.trust": 0.001,
    "optim.weight_decay": 5e-05,
    "optim.warmup_epochs": 2.0,
    "optim.schedule": "polynomial",
    "optim.power": 2.0,
    "optim.final_lr": 0.0001,
    "optim.label_smoothing": 0.1,
    "data.flip": True,
}
