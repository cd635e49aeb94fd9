"""scikit-learn's hand-written digits, 8x8 pixels: the smallest real run.

command:   resnet-launch local --slice cpu-2x1 --arch resnet18 --data digits
expected:  98.6 % of the 360 test images, measured November 2026 (97.2 % in 10 epochs)
time:      245 s of training on two cores that other work shared
"""

SETTINGS = {
    "data.name": "digits",
    "train.batch": 64,
    "train.epochs": 12.0,
    "train.eval_every_epochs": 2.0,
    "data.shift_pixels": 1,
    "optim.lr": 0.2,
    "optim.weight_decay": 5e-4,
    "optim.warmup_epochs": 1.0,
    "optim.label_smoothing": 0.1,
}
