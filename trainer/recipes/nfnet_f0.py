"""ImageNet in 360 epochs with NFNet-F0: no normalisation, adaptive clipping, RandAugment, mixup and CutMix.

command:   resnet-launch --slice v4-32 --arch nfnet-f0 --recipe nfnet-f0 --data gs://BUCKET/imagenet
slice:     v4-32, 16 chips on 4 hosts
time:      73.3 ms per step on TPU v3, as published; not measured here
expected:  83.6 % top-1 with NFNet-F0, trained at 192 and evaluated at 256 pixels, as published
source:    Brock et al. 2021 (arXiv:2102.06171), table 3, and google-deepmind/deepmind-research,
           nfnets/experiment_nfnets.py. There half of each batch has mixup and half CutMix; here each step
           draws one. F1 to F6 (84.7, 85.1, 85.7, 85.9, 86.0 and 86.5 %) have 224/320, 256/352, 320/416,
           384/512, 416/544 and 448/576 pixels, dropout .3, .4, .4, .5, .5 and .5, and magnitudes 10, 10, 15,
           15, 15 and 15; F6 was trained with SAM, which is not offered.
measured:  not measured here
"""

FAMILY = "nfnet"

SETTINGS = {
    "train.batch": 4096,
    "train.epochs": 360.0,
    "model.dropout": 0.2,
    "model.stochastic_depth": 0.25,
    "data.image_size": 256,
    "data.eval_crop": 0.889,  # 256 of 288 pixels
    "data.flip": True,
    "optim.name": "sgd",
    "optim.lr": 0.1,
    "optim.lr_batch": 256,
    "optim.momentum": 0.9,
    "optim.nesterov": True,
    "optim.weight_decay": 2e-5,
    "optim.clip_adaptive": 0.01,
    "optim.warmup_epochs": 5.0,
    "optim.schedule": "cosine",
    "optim.label_smoothing": 0.1,
    "optim.ema": 0.99999,
    "augment.policy": "rand-google",
    "augment.operations": 4,
    "augment.magnitude": 5.0,
    "augment.mixup": 0.2,
    "augment.cutmix": 1.0,
    "augment.resolution": 192,
}
