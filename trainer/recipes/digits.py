"""scikit-learn's hand-written digits, 8x8 pixels: the smallest real run.

command:   resnet-launch local --slice cpu-2x1 --arch resnet18 --data digits
"""

SETTINGS = {
    "data.name": "digits",
    "train.batch": 64,
    "train.epochs": 10.0,
    "train.eval_every_epochs": 2.0,
    "data.shift_pixels": 1,
    "optim.lr": 0.2,
    "optim.weight_decay": 5e-4,
    "optim.warmup_epochs": 1.0,
    "optim.label_smoothing": 0.1,
}
