"""Commands of the launcher against an API server of this folder, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import api_server
import pytest

from launcher.cli import main


class Result(NamedTuple):
    """Exit code and output of one command."""

    code: int
    out: list[str]
    err: list[str]


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses and bounds of the launcher, not their order."""
    monkeypatch.setattr("launcher.cluster.connection.PAUSES", (0.01, 0.02, 0.03))
    monkeypatch.setattr("launcher.runs.watch.RETRY_SECONDS", (0.05, 0.1))
    monkeypatch.setattr("launcher.runs.watch.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("launcher.runs.host_log.PAUSES", (0.01, 0.02, 0.05, 0.1))
    monkeypatch.setattr("launcher.runs.logs.RETRIES", (0.01, 0.02))
    monkeypatch.setattr("launcher.runs.logs.DRAIN_SECONDS", 0.5)
    monkeypatch.setattr("launcher.runs.logs.GRACE_SECONDS", 0)
    monkeypatch.setattr("api_server.MAX_WATCH_SECONDS", 0.3)


class Commands:
    """Runs commands against a server with the credentials of `user`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    def __call__(self, server: api_server.ApiServer, line: str, **user: Any) -> Result:
        config = server.kubeconfig(self._folder, **user)
        self._capsys.readouterr()
        code = main([*line.split(), "--kubeconfig", str(config)])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        return Result(code, out.splitlines(), err.splitlines())


@pytest.fixture
def on_api(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A function that runs a command against an API server, without anybody's settings and long pauses."""
    quick(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return Commands(tmp_path, capsys)
