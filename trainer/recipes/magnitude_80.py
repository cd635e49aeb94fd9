"""ImageNet in 100 epochs with a ResNet-50 of which 80 % become zeros: the smallest weights, little by little.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe magnitude-80 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      as without zeros, which a TPU multiplies as fast as other numbers; not measured here
expected:  75.53 % top-1 with ResNet-50 at 224 pixels, as published; 76.67 % without zeros
source:    google-research/jaxpruner, README.md and baselines/scenic/configs/imagenet_resnet_config.py, with
           the schedule of Zhu and Gupta 2017 (arXiv:1710.01878). It prunes from step 10,000 to 25,000 of
           31,200: 0.32 to 0.8 of the run. Its cosine begins with the warm-up, and here after it.
measured:  not measured here
"""

FAMILY = "resnet"

SETTINGS = {
    "train.batch": 4096,
    "train.epochs": 100.0,
    "data.flip": True,
    "optim.name": "sgd",
    "optim.lr": 0.1,
    "optim.lr_batch": 256,
    "optim.momentum": 0.9,
    "optim.weight_decay": 1e-4,
    "optim.warmup_epochs": 5.0,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.0,
    "sparse.method": "magnitude",
    "sparse.sparsity": 0.8,
    "sparse.distribution": "uniform",
    "sparse.every_steps": 1000,
    "sparse.begin": 0.32,
    "sparse.end": 0.8,
}
