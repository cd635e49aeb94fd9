"""Fashion-MNIST, 28x28 pixels, with SGD and a cosine schedule.

command:   resnet-launch local --slice cpu-2x1 --arch resnet18 --data fashion-mnist
slice:     cpu-2x1, 2 hosts with 1 CPU device each, on this machine
time:      not measured here
expected:  94.9 % top-1 on the 10,000 test images
source:    the ResNet18 row of the benchmark table in zalandoresearch/fashion-mnist, README.md, submitted
           by a user and with other augmentation than here. The settings here are our own.
measured:  not measured here
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
