"""ResNet-50 with LARS at a batch of 32,768 (reference points of MLPerf Training, ResNet).

command:   resnet-launch --slice v4-256 --arch resnet50 --recipe lars-32k
expected:  75.9 % top-1 with ResNet-50, MLPerf's target
time:      not measured here
"""

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
