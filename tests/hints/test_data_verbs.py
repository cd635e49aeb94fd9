"""Hints of the data verbs: each is provoked on a small dataset, followed, and leads on."""

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
    hint = case.printed(capsys.readouterr().err.splitlines())
    following = case.follow(arguments, hint)
    assert main(following) == 0, (following, capsys.readouterr().err)
