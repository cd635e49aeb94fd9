"""ImageNet in 16 epochs on images that grow during training, with blur before strided convolutions.

Training starts at 160x160 pixels. Between epochs 11 and 13 the size rises to 192x192 pixels.

command:   resnet-launch --slice v4-32 --arch resnet50 --recipe fast-16 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      14.9 minutes on 8 A100, as published; not measured here
expected:  73.8 % top-1 with ResNet-50, as published. The source evaluates at 256 pixels and averages the
           predictions for each image and its mirror image. Evaluation here uses the size of the images in
           the dataset and no mirror image, so expect another figure.
source:    libffcv/ffcv-imagenet, README.md (table of results) and rn50_configs/rn50_16_epochs.yaml: 512
           images on each of 8 GPUs, learning rate 1.7, not scaled with the batch
measured:  not measured here
"""

FAMILY = "resnet"

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
