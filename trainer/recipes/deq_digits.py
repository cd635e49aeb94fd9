"""Hand-written digits of 8x8 pixels with the smallest equilibrium model.

command:   resnet-launch local --slice cpu-2x1 --arch deq-tiny --data digits --recipe deq-digits
slice:     cpu-2x1, 2 hosts with 1 CPU device each, on this machine
time:      79 to 103 s of processor time on one device, compilation included
expected:  97.6 % top-1 on the 360 test images: 98.3, 96.9 and 97.5 % from three seeds
source:    measured with resnet-train, --seed 0, 1 and 2; the settings are our own
measured:  November 2026
"""

FAMILY = "deq"

SETTINGS = {
    "data.name": "digits",
    "train.batch": 64,
    "train.epochs": 6.0,
    "train.eval_every_epochs": 3.0,
    "optim.name": "adamw",
    "optim.lr": 0.004,
    "optim.lr_batch": 64,
    "optim.weight_decay": 0.01,
    "optim.warmup_epochs": 1.0,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.1,
}
