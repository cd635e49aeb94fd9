"""Hints of the data verbs: each is provoked on a small dataset, followed, and leads on."""

import re

import pytest
from cases import Case
from data_cases import CASES

from trainer.data.__main__ import main


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hint_leads_on(case: Case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    case.before(tmp_path)  # type: ignore[misc]
    arguments = [word.replace("{}", str(tmp_path)) for word in case.line.split()]
    assert main(arguments) in (1, 2)
    hints = [line.removeprefix("hint: ") for line in capsys.readouterr().err.splitlines() if "hint: " in line]
    template = ".*".join(map(re.escape, case.hint.split("{}")))
    [hint] = [hint for hint in hints if re.fullmatch(template, hint)] or [None]
    assert hint, (case.hint, hints)
    following = case.follow(arguments, hint)
    assert main(following) == 0, (following, capsys.readouterr().err)
