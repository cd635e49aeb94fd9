"""Lines of logs and replies of registries: any bytes are read within bounds, and none is obeyed."""

import json
import random
import time
from typing import Any

import pytest

from launcher.check import image_registry
from launcher.cli import table
from launcher.cli.verbs import list as list_verb
from launcher.cli.verbs import status as status_verb
from launcher.errors import printable
from launcher.runs import trainer_log

SECONDS = 5.0
LINES = [
    "progress step=10 steps=150 epoch=0.44 epochs=6.68 loss=2.5 lr=0.1 images_per_second=657.8 eta_seconds=6",
    'evaluate step=15 epoch=1.00 accuracy=0.25 loss=2.4 examples=360 note="a \\"b\\" c"',
    "event name=start at=1700000000.500 restart=0 hosts=2 devices=2",
    "2026-01-01T00:00:00.123456789Z event name=joined at=1700000003.25",
    "error: data: x is damaged",
]
SNIPPETS = [
    *' ="\\\n\r\t\0',
    "\x1b[2J",
    "\x9b",
    "\u202e",
    "\u2028",
    "nan",
    "1e999",
    "9" * 5000,
    'a="',
    "=" * 50,
]


def changed(numbers: random.Random, text: str) -> str:
    for _ in range(numbers.randint(1, 5)):
        place = numbers.randrange(len(text) + 1)
        end = place + numbers.randrange(4)
        text = text[:place] + numbers.choice([*SNIPPETS, chr(numbers.randrange(0x300))]) + text[end:]
    return text


def test_any_line_of_a_log_is_read() -> None:
    numbers = random.Random(7)
    start = time.process_time()
    for _ in range(2000):
        lines = [changed(numbers, numbers.choice(LINES)) for _ in range(3)]
        summary = trainer_log.read(line for text in lines for line in text.split("\n"))
        json.dumps([summary.progress, summary.evaluate, summary.best, summary.events], allow_nan=False)
    assert time.process_time() - start < SECONDS


FOREIGN = [  # what a program of the user's own may print, with some of the values or with odd ones
    "progress step=5",
    "progress loss=1.0 steps=10",
    "progress step=abc steps=10",
    "progress step=1.5",
    "progress step=-7 steps=0 eta_seconds=-9",
    f"progress step={'9' * 400} steps=1",
    f"progress step=1 steps={'9' * 400} loss={'9' * 4000} eta_seconds={'9' * 400}",
    f"progress step=1 steps={'x' * 90_000} loss={'y' * 90_000} {'z' * 90_000}_per_second=1",
    '{"kind": "progress", "step": 1, "eta_seconds": 1e999, "loss": -1e999}',
    '{"kind": "progress", "step": true, "steps": null}',
    '{"kind": "progress", "step": {"a": 1}, "steps": [1]}',
    '{"kind": "progress", "step": 3, "steps": false, "tokens_per_second": 1e300}',
    "progress step=3 images_per_second=\x1b[2J data_wait=often",
    *(f"progress step=3 {name}_per_second={value}" for name in ("", "a", "_") for value in ("nan", "7", "x")),
    "evaluate",
    "evaluate loss=1",
    f"evaluate accuracy={'9' * 400} step=x",
    '{"kind": "evaluate", "step": 1, "perplexity": 1e999, "accuracy": "high"}',
    "evaluate step=1 " + " ".join(f"metric{number}={number}" for number in range(5000)),
    "event name=end at=1e300",
    "event at=5",
]


@pytest.mark.parametrize("line", FOREIGN, ids=[line[:40] for line in FOREIGN])
@pytest.mark.parametrize("suspended", [False, True])
def test_no_line_breaks_status_or_list(line: str, suspended: bool) -> None:
    summary = trainer_log.read([line])
    json.dumps(vars(summary), allow_nan=False)
    run = {
        "name": "run", "phase": "Running", "slice": "cpu-2x1", "slices": 1, "hosts": 2, "arch": "",
        "command": ["sh", "-c", "x" * 9000], "pods": {}, "restarts": {"total": 0, "counted": 0, "max": 0},
        "created": "2026-01-01T00:00:00Z", "finished": "", "seconds": 7.0, "run_dir": "", "submitted_by": "",
        "why": [], "failed": None, "last_failure": None, "last_preemption": None, "reason": "",
        "rejected": {"hosts": [], "restarts": 0},
        "progress": summary.progress, "evaluation": summary.evaluate, "best": summary.best,
        "suspended": {"by": "x"} if suspended else {}, "startup_seconds": {},
    }  # fmt: skip
    page = status_verb.page(run)
    assert all(len(row) < 500 and row.isprintable() for row in page)
    [_, row] = table.lines(list_verb.COLUMNS, [list_verb._cells(run)])
    assert len(row) < 300
    assert row.isprintable()
    step = [text.split()[1] for text in page if text.startswith("  step ")]
    assert all(value.rstrip(",").lstrip("-").isdecimal() for value in step)


LONG = {
    "quotes": "progress " + 'a="' * 55_000,
    "escaped quotes": "progress " + 'a=\\"' * 40_000,
    "one open quote": 'progress a="' + "\\x" * 80_000,
    "names": "progress " + "a" * 160_000,
    "names and spaces": "progress " + "a " * 80_000,
    "equals signs": "progress " + "a=" * 80_000,
    "digits": "progress step=" + "9" * 160_000,
    "dots": "event name=" + "." * 160_000,
    "spaces": "progress" + " " * 160_000 + "step=1",
    "no end": "error: " + "pod failed with exit code " * 6_000,
}


@pytest.mark.parametrize("line", LONG.values(), ids=LONG)
def test_a_long_line_is_read_at_once(line: str) -> None:
    start = time.process_time()
    trainer_log.read([line])
    assert time.process_time() - start < 1.0


REPLIES: list[Any] = [
    {"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}}, {"platform": {"os": "linux"}}]},
    {"config": {"digest": f"sha256:{'a' * 64}", "size": 7}},
    {"os": "linux", "architecture": "arm64"},
    {"token": "x", "access_token": "y"},
]
ODD = [
    None,
    True,
    7,
    -1,
    1e300,
    "",
    "x",
    "\x1b[2J",
    [],
    {},
    [[]],
    {"platform": "linux"},
    "sha256:" + "/../" * 20,
]


def spoilt(numbers: random.Random, value: Any) -> Any:
    if numbers.random() < 0.25:
        return numbers.choice(ODD)
    if isinstance(value, dict):
        return {key: spoilt(numbers, item) for key, item in value.items() if numbers.random() < 0.9}
    return [spoilt(numbers, item) for item in value] if isinstance(value, list) else value


def test_any_reply_of_a_registry_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, outcomes = random.Random(8), {"read": 0, "refused": 0}
    monkeypatch.setattr(image_registry, "_read", lambda url, headers: reply())
    image = image_registry.parse("registry.example.com/team/resnet:1")
    assert image

    def reply() -> dict[str, Any]:
        document = spoilt(numbers, numbers.choice(REPLIES))
        if not isinstance(document, dict):
            raise ValueError("the reply is not a manifest")
        return document

    for _ in range(1000):
        try:
            names = image_registry._platforms(image)
        except image_registry.Closed as closed:
            assert printable(str(closed)).isprintable()  # noqa: PT017
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert names is not None
        assert all(name.isprintable() and len(name) < 100 for name in names)
    assert min(outcomes.values()) > 100
