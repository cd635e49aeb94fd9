"""No value, name or message that comes from data can be taken for a line or field of the run's log."""

import json

import pytest

from launcher import contract
from launcher.runs import trainer_log
from trainer.errors import ConfigError, DataError, printable
from trainer.metrics.lines import logfmt
from trainer.runtime import messages

FORGED = "x\nprogress step=999 steps=1000 loss=0"
TEXTS = [
    FORGED,
    "x step=999",
    'a "quoted" name',
    "tab\there",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[H",
    "a\rprogress step=999",
    "\u2028progress step=999",
    "back\\slash",
    "naïve 文",
    "",
    '"',
    "a=b",
    "\udcff",
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_stays_one_field_of_one_line(text: str) -> None:
    line = logfmt("event", {"name": "start", "at": 1.5, "path": text, "step": 7})
    assert line.isprintable()
    assert trainer_log.read([line]).events == {"start": 1.5}
    progress = logfmt("progress", {"step": 7, "arch": text, "steps": 10})
    assert trainer_log.read(progress.splitlines()).progress == {"step": 7, "arch": text, "steps": 10}


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
@pytest.mark.parametrize("show", [messages.warn, messages.note, messages.complain])
def test_a_message_is_no_line_of_the_log(text: str, show: object, capfd: pytest.CaptureFixture[str]) -> None:
    assert callable(show)
    show(f"{text}: this image is damaged")
    _, err = capfd.readouterr()
    assert err.count("\n") == len(err.splitlines())
    assert all(line.isprintable() for line in err.splitlines())
    kinds = {line.split(" ")[0] for line in err.splitlines()}
    assert not kinds & contract.document()["lines"].keys(), err


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_an_error_of_data_is_one_line_and_its_hint(text: str) -> None:
    lines = str(DataError(f"data: {text} is damaged", f"remove {text}")).split("\n")
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert lines[1].startswith("hint: ")


def test_problems_of_a_configuration_keep_their_lines() -> None:
    assert str(ConfigError("one\ntwo\x1b", "three")) == "one\ntwo\\x1b\nhint: three"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x9b31m", "\\x9b31m"),
        ("\udc80", "\\x80"),
        ("\u2028", "\\u2028"),
        ("naïve 文 🙂", "naïve 文 🙂"),
    ],
    ids=ascii,
)
def test_how_a_control_character_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_an_old_trainer_wrote_is_still_read() -> None:
    row = trainer_log.read(["evaluate step=15 epoch=1.00 accuracy=0.25 loss=nan examples=360"]).evaluate
    assert json.loads(json.dumps(row)) == {
        "step": 15,
        "epoch": 1.0,
        "accuracy": 0.25,
        "loss": "nan",
        "examples": 360,
    }
