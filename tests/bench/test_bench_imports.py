"""What the measurements import from the packages exists: most of them run only when they are needed."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHES = sorted((ROOT / "bench").glob("*.py"))


def imported(source: str) -> list[tuple[str, str]]:
    """Return (module, name) of each `from launcher… import name` and `from trainer… import name`."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("launcher", "trainer")
        for alias in node.names
    ]


def missing(source: str) -> list[str]:
    """Return the imported names that their module does not have."""
    absent = []
    for module, name in imported(source):
        if not hasattr(importlib.import_module(module), name):
            try:
                importlib.import_module(f"{module}.{name}")
            except ModuleNotFoundError:
                absent.append(f"{module}.{name}")
    return absent


@pytest.mark.parametrize("bench", BENCHES, ids=lambda path: path.stem)
def test_what_a_bench_imports_exists(bench):
    assert missing(bench.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "from launcher.runs.startup import unix",
        "from trainer.runtime import no_such_module",
        "def f():\n    from trainer.config import gone",
    ],
)
def test_a_name_that_moved_is_noticed(line):
    assert len(missing(line)) == 1
