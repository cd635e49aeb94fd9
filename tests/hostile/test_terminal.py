"""What others wrote is shown on the terminal and never obeyed."""

import io
import json
import sys
from typing import Any

import pytest

from launcher.cli import main, table, terminal
from launcher.cli.verbs.status import page
from launcher.errors import ActionError, printable

HOSTILE = [
    "\x1b]52;c;ZXZpbA==\x07",  # writes to the clipboard
    "\x1b[2J\x1b[H",  # clears the screen
    "good\rbad",
    "\x9b31m",  # an escape sequence in one character
    "\b\b\b\bOK",
    "\u202etxt.exe",  # turns the direction of what follows
    "x\x00y",
    "\x7f",
    "\x0e\x0f",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_control_character_is_shown(text: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.guarded():
        print(f"host-0 | {text}", file=getattr(sys, name))
        sys.stdout.writelines([text])
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert printed.replace("\n", "").isprintable()
    assert printable(text) in printed


def test_bytes_do_not_pass_by() -> None:
    shown: Any = terminal.Shown(io.TextIOWrapper(io.BytesIO()))
    assert not hasattr(shown, "buffer")
    with pytest.raises((TypeError, AttributeError)):
        shown.write(b"\x1b[2J")


@pytest.mark.parametrize("text", ["two\nlines", *HOSTILE], ids=ascii)
def test_a_cell_of_a_table_is_one_cell(text: str) -> None:
    lines = table.lines(["NAME", "WHY"], [{"NAME": "run", "WHY": text}, {"NAME": "other", "WHY": "-"}])
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


RUN: dict[str, Any] = {
    "name": "run",
    "phase": "Failed",
    "slices": 1,
    "slice": "v4-8",
    "hosts": 1,
    "arch": "resnet50",
    "command": [],
    "pods": {},
    "restarts": {"total": 0, "counted": 0, "max": 10},
    "finished": "",
    "created": "",
    "seconds": None,
    "run_dir": "gs://b/run",
    "submitted_by": "jane",
    "why": [],
    "failed": None,
    "last_failure": None,
    "last_preemption": None,
    "rejected": {"hosts": [], "restarts": 0},
    "progress": {},
    "evaluation": {},
    "best": {},
    "suspended": False,
    "startup_seconds": {},
}


@pytest.mark.parametrize("field", ["name", "arch", "command", "run_dir", "submitted_by", "why"])
@pytest.mark.parametrize("text", ["x\n  phase         Completed", *HOSTILE], ids=ascii)
def test_a_line_of_the_status_cannot_be_imitated(field: str, text: str) -> None:
    lines = page(RUN | {field: [text] if field in ("why", "command") else text})
    assert all(line.isprintable() for line in lines)
    assert sum(line.strip().startswith("phase ") for line in lines) == 1


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_an_error_that_quotes_others(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ActionError(f"the server says {text}", f"ask {text}")

    monkeypatch.setattr("launcher.hardware.catalogue.slices", fails)
    assert main(["slices"]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 2
    assert all(line.isprintable() for line in err.splitlines())


def test_json_is_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slices", "v4-8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
