"""ImageNet in 350 epochs with EfficientNetV2-S: images and RandAugment that grow in four stages.

Training takes images of 171, 214, 257 and 300 pixels, evaluation of 384 pixels.

command:   resnet-launch --slice v4-64 --arch efficientnetv2-s --recipe effnetv2-s --data gs://BUCKET/imagenet
slice:     v4-64, 32 chips on 8 hosts
time:      not measured here
expected:  83.9 % top-1 with EfficientNetV2-S at 384 pixels, as published
source:    Tan and Le 2021 (arXiv:2104.00298) and google/automl, efficientnetv2: hparams.py,
           effnetv2_configs.py and main.py, whose dropout is the same in all stages; in the paper it rises
           from 0.1 to 0.3. Images are decoded at 384 pixels and resized on the device.
measured:  not measured here
"""

FAMILY = "efficientnet"

SETTINGS = {
    "train.batch": 4096,
    "train.epochs": 350.0,
    "model.dropout": 0.2,
    "model.stochastic_depth": 0.2,
    "data.image_size": 384,
    "data.eval_crop": 1.0,
    "data.min_area": 0.05,
    "data.normalize": "symmetric",
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
    "augment.policy": "rand-google",
    "augment.operations": 2,
    "augment.stages": 4,
    "augment.resolution": 171,
    "augment.final_resolution": 300,
    "augment.magnitude": 5.0,
    "augment.final_magnitude": 10.0,
}
