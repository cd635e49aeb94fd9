"""ImageNet in 350 epochs with EfficientNet-B0: RMSProp, a rate in stairs and AutoAugment.

command:   resnet-launch --slice v4-32 --arch efficientnet-b0 --recipe effnet-b0 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      not measured here
expected:  77.1 % top-1 with EfficientNet-B0 at 224 pixels, as published; 76.7 % without AutoAugment
source:    Tan and Le 2019 (arXiv:1905.11946) and tensorflow/tpu, models/official/efficientnet/main.py. Its
           loss also decays the biases of the gates and of the head.
measured:  not measured here
"""

FAMILY = "efficientnet"

SETTINGS = {
    "train.batch": 2048,
    "train.epochs": 350.0,
    "model.dropout": 0.2,
    "model.stochastic_depth": 0.2,
    "model.bn_group": 128,
    "data.flip": True,
    "optim.name": "rmsprop",
    "optim.lr": 0.016,
    "optim.lr_batch": 256,
    "optim.momentum": 0.9,
    "optim.beta2": 0.9,
    "optim.epsilon": 1e-3,
    "optim.weight_decay": 1e-5,
    "optim.warmup_epochs": 5.0,
    "optim.schedule": "exponential",
    "optim.step_factor": 0.97,
    "optim.decay_epochs": 2.4,
    "optim.label_smoothing": 0.1,
    "optim.ema": 0.9999,
    "augment.policy": "auto",
}
