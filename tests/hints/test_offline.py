"""Hints of commands without a cluster: each is provoked, followed as a person would, and leads on."""

import re
import subprocess
import sys

import pytest
from cases import OFFLINE, Case

from launcher.cli import main


def typed(arguments, capsys):
    """Run the launcher here; return its exit code and the hints that it prints."""
    capsys.readouterr()
    code = main(arguments)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return code, [line.removeprefix("hint: ") for line in err.splitlines() if line.startswith("hint: ")], err


def matches(template: str, hint: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, template.split("{}"))), hint) is not None


@pytest.mark.parametrize("case", OFFLINE, ids=str)
def test_a_hint_leads_on(case: Case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if case.before:
        case.before(tmp_path)
    arguments = [word.replace("{}", str(tmp_path)) for word in case.line.split()]
    code, hints, err = typed(arguments, capsys)
    assert code in (1, 2), err
    [hint] = [hint for hint in hints if matches(case.hint, hint)] or [None]
    assert hint, f"{case.hint!r} is not among {hints}"
    following = case.follow(arguments, hint)
    if following[0] == "local":  # starts processes, which this one may not where other tests started JAX
        done = subprocess.run([sys.executable, "-m", "launcher", *following], capture_output=True, text=True)
        code, err = done.returncode, done.stderr
    else:
        code, _, err = typed(following, capsys)
    assert code == 0, (following, err)
