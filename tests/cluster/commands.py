"""The command line of the launcher against a test cluster, as a person types it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from testcluster import Cluster

from launcher.cli import main

Command = Callable[[str], "Result"]


@dataclass(frozen=True)
class Result:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else."""
        return json.loads(self.out)


def command(cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs `resnet-launch LINE` in the namespace, in this process."""

    def run(line: str) -> Result:
        flags = ["--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
        code = main([*line.split(), *flags])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run
