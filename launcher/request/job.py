"""TrainingJob: one request, frozen, checked and fully resolved, from which everything is built."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from launcher import keys
from launcher.errors import Problem, RequestError
from launcher.request import mounts, readers, rules
from launcher.request.fields import Fields
from launcher.version import __version__

GRACE = 300  # seconds: saving the largest state to a bucket, with some reserve
SPOT_GRACE = 25  # seconds: the notice is 30 s, and the node needs the rest for itself


@dataclass(frozen=True, kw_only=True)
class TrainingJob(Fields):
    """A training run on slices of a cluster.

    >>> job = TrainingJob(slice="v4-32", arch="resnet152", bucket="my-bucket")
    >>> job.name, job.shape.hosts, job.devices, job.run_dir
    ('resnet152-v4-32', 4, 16, 'gs://my-bucket/resnet152-v4-32')

    After construction name, image, run_dir and grace are set.

    Raises:
      RequestError: some values are invalid; the error holds every problem.
    """

    def __post_init__(self) -> None:
        problems = [problem for field in dataclasses.fields(self) if (problem := self._read(field))]
        wrong = {problem.field for problem in problems}
        if wrong.isdisjoint({"slice", "custom-slice", "num-slices", "arch", "command"}):
            self._resolve()
            problems += [p for rule in rules.ALL for p in rule(self) if p.field not in wrong]
        if problems:
            raise RequestError(*problems)

    def _read(self, field: dataclasses.Field[Any]) -> Problem | None:
        """Replace one field by its checked value, or by its default, and return the problem if it has one."""
        read, value = field.metadata["read"], getattr(self, field.name)
        flag = field.name.replace("_", "-")
        if value is None:
            return rules.missing(self, flag)
        try:
            self._set(field.name, read(value))
            if field.name == "slice":
                known = self.slice if self.custom_slice is not None else self.shape.name
                self._set("slice", known)
            return None
        except readers.Wrong as wrong:
            problem = Problem(flag, str(wrong), wrong.hint)
        except RequestError as error:
            problem = error.problems[0]
        self._set(field.name, None if field.default is None else read(field.default))
        return problem

    @property
    def default_name(self) -> str:
        """The name of a run that asks for none: `resnet152-v4-32`; of `package.module:name` the last word.

        A run with a command has to ask.
        """
        arch = re.split("[:.]", self.arch or "run")[-1]
        return re.sub(r"[^a-z0-9]+", "-", f"{arch}-{self.slice}".lower()).strip("-")

    def _resolve(self) -> None:
        """Fill in the fields that follow from others."""
        if self.name is None:
            self._set("name", self.default_name)
        if self.run_dir is None:
            self._set("run_dir", f"{self.bucket or mounts.SCRATCH}/{self.name}")
        if self.image is None:
            self._set("image", f"{keys.APP}:{__version__}-{self.shape.kind}")
        if self.env_file:
            files = {name: value for variables in self.env_file for name, value in variables.items()}
            self._set("env", files | dict(self.env))
            self._set("env_file", ())
        if self.grace is None:
            self._set("grace", SPOT_GRACE if self.spot else GRACE)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the class is frozen for everyone else
