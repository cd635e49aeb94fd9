"""One small network of every family; tests/trainer/models/test_famil*.py hold for each of them.

A new family is one line here.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Family:
    """A network that trains in seconds, and the data that it is trained on.

    Attributes:
      arch: its name, or package.module:name.
      settings: settings beside the architecture.
      data: dataset of images of 8x8 pixels.
      image_size: pixels of a side for the check, whose data are synthetic.
      libraries: libraries whose names it has.
      sight: how `predict --explain` shows where it looks; empty: it does not. A family names a map of the
        image, or the grid of its attention, by functions of trainer.models.sight.
    """

    arch: str
    settings: dict[str, Any] = field(default_factory=dict)
    data: str = "digits"
    image_size: int = 16
    libraries: tuple[str, ...] = ()
    sight: str = "Grad-CAM"

    def __str__(self) -> str:
        return self.arch.rpartition(":")[2]


# The zeros move in each second of six steps, also after the third, from which a test resumes.
RIGL = {"sparse.method": "rigl", "sparse.sparsity": 0.8, "sparse.distribution": "erk"}
RIGL |= {"sparse.every_steps": 2, "sparse.end": 1.0}

FAMILIES = [
    Family(
        arch="resnet-tiny",
        settings={"model.width": 8, "model.stochastic_depth": 0.2},
        libraries=("torchvision", "timm"),
    ),
    Family(
        arch="vit-tiny",
        settings={"model.stochastic_depth": 0.2},
        libraries=("torchvision", "timm"),
        sight="attention rollout",
    ),
    Family(
        arch="convnext-tiny",
        settings={"model.stochastic_depth": 0.2},
        libraries=("torchvision", "timm"),
    ),
    Family(
        arch="efficientnet-tiny",
        settings={
            "model.stochastic_depth": 0.2,
            "model.dropout": 0.1,
            # Stages of 6, 7 and 8 pixels, two of six steps each: a run that is resumed at 3 enters the last.
            "augment.stages": 3,
            "augment.resolution": 6,
            "augment.final_resolution": 8,
            "augment.final_mixup": 0.2,
            "augment.final_dropout": 0.2,
        },
        libraries=("torchvision", "timm"),
    ),
    Family(arch="deq-tiny", settings={"model.iterations": 4}),
    Family(
        arch="nfnet-tiny",
        settings={"model.stochastic_depth": 0.2, "model.dropout": 0.1, "optim.clip_adaptive": 0.01},
        libraries=("timm",),
    ),
    Family(
        arch="resnetv2-tiny",
        settings={"model.width": 8, "model.stochastic_depth": 0.2},
        libraries=("timm",),
    ),
    Family(
        arch="cifar-resnet20",
        # Stages of five blocks, of which the equal ones are stacked (trainer.models.stacks).
        settings={"model.depth": 32, "model.width": 4, "model.repeat": "scan", "model.remat": "full"},
    ),
    Family(arch="cifar-preact164", settings={"model.depth": 11, "model.width": 4}),
    Family(arch="cifar-plain20", settings={"model.depth": 8, "model.width": 4, **RIGL}),
    Family(
        arch="own_code.nets:mlp",
        settings={"model.width": 16},
        data="own_code.data:squares",
        libraries=("timm",),
        sight="",
    ),
    Family(arch="own_code.nets:attention", settings={"model.width": 16}, sight=""),
]
