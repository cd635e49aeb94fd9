"""Each hint has a case that types it, a test that follows it, or a written reason why it is prose."""

import ast
from pathlib import Path

import api_cases
import cases
import collected
import data_cases
import pytest
import yaml

ROOT = Path(__file__).parents[2]
INVENTORY = yaml.safe_load((Path(__file__).parent / "inventory.yaml").read_text())
CASES = [*cases.OFFLINE, *(case for case, _ in api_cases.CASES), *data_cases.CASES]


@pytest.fixture(scope="module")
def texts() -> set[str]:
    return {text for _, text in collected.read()[0]}


def listed(part: str) -> list[str]:
    return [hint for group in INVENTORY[part].values() for hint in group]


def test_each_hint_is_typed_by_a_test_or_has_a_reason(texts):
    known = {*listed("elsewhere"), *listed("prose"), *(case.hint for case in CASES)}
    assert texts - known == set(), (
        "add a case (tests/hints/cases.py) or a reason (tests/hints/inventory.yaml)"
    )
    assert known - texts == set(), "no code gives these hints any more"


def test_no_hint_has_two_entries():
    entries = [*listed("elsewhere"), *listed("prose")]
    assert sorted({hint for hint in entries if entries.count(hint) > 1}) == []


def test_each_case_is_of_the_file_that_gives_its_hint():
    gives, _ = collected.read()
    assert [str(case) for case in CASES if (case.file, case.hint) not in gives] == []


def test_a_test_that_follows_a_hint_exists():
    missing = []
    for name in INVENTORY["elsewhere"]:
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        if function not in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}:
            missing.append(name)
    assert missing == []


# The nearest known word, or a hint that a function of another module returns.
FROM_ELSEWHERE = [
    "launcher/check/compiler.py: hint",
    "launcher/check/input_demand.py: hint",
    "launcher/cli/verbs/render.py: closest(form, FORMATS)",
    "launcher/image/base.py: hint",
    "launcher/image/uv.py: hints[0].removeprefix('hint: ') if hints else ''",
    "launcher/request/custom_slices.py: closest(name, KEYS)",
    "launcher/request/exit_codes.py: closest(name, table)",
    "launcher/request/readers.py: hint",
    "launcher/request/trainer_settings.py: closest(str(base), names)",
    "launcher/request/trainer_settings.py: closest(text, field['choices'])",
    "launcher/request/trainer_settings.py: hint",
]


def test_no_hint_is_made_where_this_test_cannot_read_it():
    assert sorted(collected.read()[1]) == FROM_ELSEWHERE
