"""Hand-written digits of 8x8 pixels from scikit-learn with the tiny ViT: attention in seconds on a CPU.

command:   resnet-launch local --slice cpu-2x1 --arch vit-tiny --data digits --recipe vit-digits
slice:     cpu-2x1, 2 hosts with 1 CPU device each, on this machine
time:      26 to 31 processor seconds from start to end, in one process
expected:  98.1 to 99.2 % top-1 on the 360 test images, three seeds
source:    measured with python bench/vit_digits.py, one process with one device; the settings are our own
measured:  November 2026
"""

FAMILY = "vit"

SETTINGS = {
    "data.name": "digits",
    "train.batch": 64,
    "train.epochs": 150.0,
    "train.eval_every_epochs": 25.0,
    "data.shift_pixels": 1,
    "optim.name": "adamw",
    "optim.lr": 3e-3,
    "optim.lr_batch": 0,
    "optim.weight_decay": 0.3,
    "optim.clip_norm": 1.0,
    "optim.warmup_epochs": 5.0,
    "optim.label_smoothing": 0.1,
}
