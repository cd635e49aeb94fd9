"""Fashion-MNIST, 28x28 pixels, SGD with a cosine.

command:   resnet-launch local --slice cpu-2x1 --arch resnet18 --data fashion-mnist
expected:  94.9 % is published for ResNet-18
time:      not measured here
"""

SETTINGS = {
    "data.name": "fashion-mnist",
    "train.batch": 256,
    "train.epochs": 30.0,
    "data.shift_pixels": 2,
    "data.flip": True,
    "optim.lr": 0.1,
    "optim.weight_decay": 5e-4,
    "optim.warmup_epochs": 2.0,
    "optim.label_smoothing": 0.1,
}
