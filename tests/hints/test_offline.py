"""Hints of commands without a cluster: each is provoked, followed as a person would, and leads on."""

import subprocess
import sys

import pytest
from cases import OFFLINE, Case

from launcher.cli import main


def typed(arguments, capsys):
    """Run the launcher here; return its exit code and its stderr."""
    capsys.readouterr()
    code = main(arguments)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return code, err


@pytest.mark.parametrize("case", OFFLINE, ids=str)
def test_a_hint_leads_on(case: Case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if case.before:
        case.before(tmp_path)
    arguments = [word.replace("{}", str(tmp_path)) for word in case.line.split()]
    code, err = typed(arguments, capsys)
    assert code in (1, 2), err
    hint = case.printed(err.splitlines())
    following = case.follow(arguments, hint)
    if following[0] == "local":  # starts processes, which this one may not where other tests started JAX
        done = subprocess.run([sys.executable, "-m", "launcher", *following], capture_output=True, text=True)
        code, err = done.returncode, done.stderr
    else:
        code, err = typed(following, capsys)
    assert code == 0, (following, err)
