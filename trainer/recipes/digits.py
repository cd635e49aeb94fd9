"""Hand-written digits of 8x8 pixels from scikit-learn: the smallest run on real images.

command:   resnet-launch local --slice cpu-2x1 --arch resnet18 --data digits
slice:     cpu-2x1, 2 hosts with 1 CPU device each, on this machine
time:      100 to 114 s from the command to its end, on two CPU cores
expected:  97.8 to 98.3 % top-1 on the 360 test images with three seeds; 98.1 and 99.4 % after 12 epochs
source:    measured with the command above
measured:  November 2026
"""

SETTINGS = {
    "data.name": "digits",
    "train.batch": 64,
    "train.epochs": 8.0,
    "train.eval_every_epochs": 2.0,
    "data.shift_pixels": 1,
    "optim.lr": 0.2,
    "optim.weight_decay": 5e-4,
    "optim.warmup_epochs": 1.0,
    "optim.label_smoothing": 0.1,
}
