"""ImageNet in 100 epochs with a ResNet-50 of which 90 % are zeros: RigL, with more zeros in large layers.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe rigl-90 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      as without zeros, which a TPU multiplies as fast as other numbers; not measured here
expected:  73.07 % top-1 with ResNet-50 at 224 pixels, as published; 76.8 % without zeros, 76.42 % in five
           times as many epochs
source:    Evci et al. 2020 (arXiv:1911.11134) and google-research/rigl, README.md and
           rigl/imagenet_resnet. Zeros stay after 25,000 of 32,000 steps, 0.78125. There a step that moves
           weights does not update them; here it does, as in google-research/jaxpruner.
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
    "optim.nesterov": True,
    "optim.weight_decay": 1e-4,
    "optim.warmup_epochs": 5.0,
    "optim.schedule": "step",
    "optim.step_epochs": "30,70,90",
    "optim.step_factor": 0.1,
    "optim.label_smoothing": 0.1,
    "sparse.method": "rigl",
    "sparse.sparsity": 0.9,
    "sparse.distribution": "erk",
    "sparse.every_steps": 100,
    "sparse.drop": 0.3,
    "sparse.end": 0.78125,
}
