"""What a run that is resumed may change: every setting of the trainer, in one of three groups.

A setting that is in none of them fails a test.
"""

import dataclasses
from typing import Any

from trainer.config import FIELDS, PREDICTED, TYPES, TrainConfig, resolve
from trainer.errors import ConfigError

# How a network is compiled: it computes the same.
COMPILATION = ("model.repeat", "model.remat")
# With another value a step would have other data or another network. A run never resumes with it.
IDENTITY = frozenset(
    [
        *(name for name in FIELDS if name.startswith("model.") and name not in COMPILATION),
        *("data.name", "data.root", "data.subset", "data.val_share", "data.val_seed", "data.image_size"),
        *("data.normalize",),
        *("optim.name", "train.batch", "train.seed"),
        *("sparse.method", "sparse.sparsity", "sparse.distribution", "sparse.pattern"),
    ]
)
# With another value the run learns, or measures, something else. It resumes with train.allow_changes=true.
LEARNING = frozenset(
    [
        *(name for name in FIELDS if name.startswith(("optim.", "augment."))),
        *("data.min_area", "data.shift_pixels", "data.flip", "data.eval_crop", "data.max_megapixels"),
        *("train.accumulate", "train.init", "train.freeze"),
        *("sparse.begin", "sparse.end", "sparse.every_steps", "sparse.drop"),
    ]
) - {"optim.name"}
# Length, checkpoints, logs and means: free to change between the attempts of a run.
FREE = frozenset(
    [
        *COMPILATION,
        *(name for name in FIELDS if name.startswith(("checkpoint.", "log."))),
        *("data.threads", "data.prefetch", "data.bad_images", "data.stage", "data.stage_gib"),
        *("train.epochs", "train.steps", "train.eval_every_epochs", "train.shard"),
        "mesh.model",
        *("train.on_nan", "train.max_rollbacks", "train.hang_seconds", "train.first_step_seconds"),
        *("train.join_seconds", "train.compile_cache", "train.allow_changes"),
    ]
)
# No change of the run.
UNSAID = ("train.allow_changes", PREDICTED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A setting with another value than in the attempt before."""

    setting: str  # section.field
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.setting} {self.before!r} -> {self.now!r}"


def changes(before: dict[str, Any], config: TrainConfig) -> list[Change]:
    """Return the settings that differ from those of an earlier attempt, in the order of their declaration.

    ``train.allow_changes``, the permission to differ, is not among them, nor is ``log.predicted``, which
    follows from the others.

    Args:
      before: config.json of that attempt. A setting that it lacks, or holds with a value that this version
        does not accept, counts as the default: the version that wrote it did not have the setting.
      config: settings of this attempt.
    """
    old, new = _flat(before), _flat(dataclasses.asdict(config))
    names = [name for name in FIELDS if old[name] != new[name] and name not in UNSAID]
    return [Change(setting=name, before=old[name], now=new[name]) for name in names]


def _flat(sections: dict[str, Any]) -> dict[str, Any]:
    """Return section.field -> value of every setting, with paths as ``resolve`` makes them."""
    values = {}
    for name, field in FIELDS.items():
        section, _, leaf = name.partition(".")
        group = sections.get(section)
        value = group.get(leaf, field.default) if isinstance(group, dict) else field.default
        values[name] = _absolute(name, value) if TYPES[name] is str else value
    return values


def _absolute(name: str, value: Any) -> Any:
    section, _, leaf = name.partition(".")
    try:
        return getattr(getattr(resolve("", "", "", {name: value}), section), leaf)
    except ConfigError:
        return value
