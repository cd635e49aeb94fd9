"""What a cluster lacks for a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from launcher.cluster import Cluster
    from launcher.job import TrainingJob

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One line: about what, how it stands, and what to do where it does not."""

    level: Level
    about: str
    text: str
    hint: str = ""

    def lines(self) -> list[str]:
        return [
            f"{self.level:8} {self.about}: {self.text}",
            *([f"{'':8} hint: {self.hint}"] if self.hint else []),
        ]


def findings(job: TrainingJob, cluster: Cluster) -> Iterator[Finding]:
    yield Finding("ok", "cluster", cluster.server)
