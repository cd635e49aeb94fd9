"""ResNet-50 with LARS at a batch of 65,536 (reference points of MLPerf Training, ResNet).

command:   resnet-launch --slice v4-512 --arch resnet50 --recipe lars-64k
expected:  75.9 % top-1 with ResNet-50, MLPerf's target
time:      not measured here
"""

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
