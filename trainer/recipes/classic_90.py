"""ImageNet in 90 epochs with SGD, a linear warm-up and a cosine schedule.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe classic-90 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      not measured here
expected:  76.4 to 77.1 % top-1 with ResNet-50 at 224 pixels, the range published for this schedule
source:    Goyal et al. 2017 (arXiv:1706.02677) for batch, warm-up and linear scaling of the learning rate.
           The paper lowers the rate in steps. The cosine and label smoothing are additions.
measured:  not measured here
"""

SETTINGS = {
    "train.batch": 1024,
    "train.epochs": 90.0,
    "optim.lr": 0.1,
    "optim.momentum": 0.9,
    "optim.weight_decay": 1e-4,
    "optim.warmup_epochs": 5.0,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.1,
    "data.flip": True,
}
