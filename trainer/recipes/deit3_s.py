"""DeiT III: ImageNet in 800 epochs with ViT-S/16, LayerScale, LAMB and a binary cross-entropy per class.

command:   resnet-launch --slice v4-32 --arch deit3-s16 --recipe deit3-s --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      not measured here
expected:  81.4 % top-1 with DeiT III S/16 at 224 pixels, as published
source:    Touvron et al. 2022 (arXiv:2204.07118) and facebookresearch/deit, README_revenge.md: 256 images
           on each of 8 GPUs, the rate not scaled. Its repeated augmentation shows an example 3 times in an
           epoch. Its LAMB is that of apex, which also cuts the gradient at a length of 1.
measured:  not measured here
"""

FAMILY = "vit"

SETTINGS = {
    "train.batch": 2048,
    "train.epochs": 800.0,
    "model.stochastic_depth": 0.05,
    "data.flip": True,
    "optim.name": "lamb",
    "optim.lr": 4e-3,
    "optim.lr_batch": 0,
    "optim.epsilon": 1e-8,
    "optim.weight_decay": 0.05,
    "optim.clip_norm": 1.0,
    "optim.warmup_epochs": 5.0,
    "optim.warmup_lr": 1e-6,
    "optim.schedule": "cosine",
    "optim.final_lr": 1e-5,
    "optim.loss": "binary",
    "optim.label_smoothing": 0.0,
    "augment.policy": "three",
    "augment.jitter": 0.3,
    "augment.mixup": 0.8,
    "augment.cutmix": 1.0,
    "augment.repeats": 3,
}
