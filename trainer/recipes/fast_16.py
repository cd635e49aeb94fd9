"""ImageNet in 16 epochs, as ffcv-imagenet: a resolution that rises, blurred strides.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe fast-16
expected:  73.8 % top-1 with ResNet-50, as stated for these settings, evaluated at 256 pixels and mirrored too
time:      not measured here
source:    rn50_16_epochs.yaml: 512 images on each of 8 GPUs, rate 1.7 whatever the batch; evaluation here is
           at the images' own size and not mirrored
"""

SETTINGS = {
    "train.batch": 4096,
    "train.epochs": 16.0,
    "model.blur": "before",
    "optim.lr": 1.7,
    "optim.lr_batch": 0,
    "optim.momentum": 0.9,
    "optim.nesterov": False,
    "optim.weight_decay": 0.0001,
    "optim.warmup_epochs": 2.0,
    "optim.warmup_lr": 0.00017,
    "optim.schedule": "linear",
    "optim.label_smoothing": 0.1,
    "augment.resolution": 160,
    "augment.final_resolution": 192,
    "augment.ramp_from_epoch": 11,
    "augment.ramp_to_epoch": 13,
    "data.flip": True,
}
