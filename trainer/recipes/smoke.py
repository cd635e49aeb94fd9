"""A hundred steps on synthetic images: does the slice compile, join, train, save and end?

command:   resnet-launch --slice v4-32 --arch resnet50
expected:  no accuracy worth a name; the images are made up
time:      not measured here
"""

SETTINGS = {
    "train.batch": 1024,
    "train.steps": 100,
    "train.eval_every_epochs": 0.0,
    "optim.lr": 0.1,
    "optim.warmup_epochs": 0.0,
    "optim.schedule": "constant",
}
