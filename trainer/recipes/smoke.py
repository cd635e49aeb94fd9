"""A hundred steps on synthetic images: a test that a slice compiles, joins, trains, saves and ends.

command:   resnet-launch --slice v4-32 --arch resnet50
slice:     v4-32, 16 chips on 4 hosts
time:      not measured here
expected:  no meaningful accuracy, because the images are synthetic
source:    none; the settings are our own
measured:  not measured here
"""

SETTINGS = {
    "train.batch": 1024,
    "train.steps": 100,
    "train.eval_every_epochs": 0.0,
    "optim.lr": 0.1,
    "optim.warmup_epochs": 0.0,
    "optim.schedule": "constant",
}
