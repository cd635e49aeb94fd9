"""Fixtures of the tests of hints."""

from pathlib import Path

import commands_on_api
import pytest


@pytest.fixture
def on_api(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> commands_on_api.Commands:
    """A function that runs a command against an API server, without anybody's settings and long pauses."""
    commands_on_api.quick(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return commands_on_api.Commands(tmp_path, capsys)
