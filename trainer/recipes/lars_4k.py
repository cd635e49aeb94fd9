"""ResNet-50 with LARS at a batch of 3,264 (reference points of MLPerf Training, ResNet).

command:   resnet-launch --slice v4-128 --arch resnet50 --recipe lars-4k
expected:  75.9 % top-1 with ResNet-50, MLPerf's target
time:      not measured here
note:      the published point is at 3,264 images, not 4,096; the rate is not scaled
"""

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
