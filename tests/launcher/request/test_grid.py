"""The runs of a grid: their values, and names that do not change when the grid grows."""

import pytest

from launcher.errors import RequestError
from launcher.request import grid


def names(*texts: str, **kwargs: int) -> list[str]:
    return [trial.name for trial in grid.trials("s", grid.axes(texts), **kwargs)]


def test_every_combination_in_the_order_of_the_flags():
    trials = grid.trials("lr", grid.axes(["optim.lr=0.1, 1e-3", "train.seed=0..2"]))
    assert [(trial.name, dict(trial.settings)) for trial in trials][:4] == [
        ("lr-lr0-1-seed0", {"optim.lr": "0.1", "train.seed": "0"}),
        ("lr-lr0-1-seed1", {"optim.lr": "0.1", "train.seed": "1"}),
        ("lr-lr0-1-seed2", {"optim.lr": "0.1", "train.seed": "2"}),
        ("lr-lr1e-3-seed0", {"optim.lr": "1e-3", "train.seed": "0"}),
    ]
    assert len(trials) == 6


def test_names_stay_when_the_grid_grows():
    before = names("optim.lr=0.1", "train.seed=1,2")
    after = names("optim.lr=0.05,0.1,0.2", "train.seed=0..5")
    assert set(before) <= set(after)
    assert len(set(after)) == 18


def test_a_long_name_is_a_hash_of_its_own():
    long = ["optim.weight_decay=0.00005,0.0001", "optim.warmup_epochs=5", "train.eval_every_epochs=1"]
    [first, second] = names(*long)
    assert first != second
    assert all(len(name) <= len("s-") + grid.LONGEST_SUFFIX for name in (first, second))
    assert [first, second] == names(*long)


def test_a_part_of_the_combinations_is_drawn_and_kept():
    texts = ("optim.lr=0.1,0.2,0.3,0.4", "train.seed=0..9")
    three, ten = names(*texts, random=3), names(*texts, random=10)
    assert (len(three), len(ten)) == (3, 10)
    assert set(three) < set(ten)
    assert names(*texts, random=3, seed=1) != three


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([], "grid: must be given at least once"),
        (["optim.lr"], "grid: must be SETTING=VALUE,VALUE, got 'optim.lr'"),
        (["optim.lr="], "grid: must be SETTING=VALUE,VALUE, got 'optim.lr='"),
        (["optim.l=1"], "grid: must name a setting such as optim.lr, got 'optim.l'"),
        (["optim.lr=1", "optim.lr=2"], "grid: must name each setting once, got optim.lr again"),
        (["optim.lr=1,,2"], "grid: optim.lr must have values that differ, separated by commas, got '1,,2'"),
        (["optim.lr=1,1"], "grid: optim.lr must have values that differ, separated by commas, got '1,1'"),
        (["train.seed=5..2"], "grid: train.seed must have ranges that go up, of at most 1,000 numbers"),
        (["train.seed=0..9999999999999"], "grid: train.seed must have ranges that go up"),
        (["train.seed=0..500", "optim.lr=1,2"], "grid: must give at most 1,000 runs, got 1,002 combinations"),
        (["model.arch=a.b,a-b"], "grid: must have values with names of their own, got 's-archa-b' twice"),
    ],
)
def test_wrong_grids(texts, problem):
    with pytest.raises(RequestError) as caught:
        names(*texts)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("random", [0, -1, 3, 10**9])
def test_a_wrong_number_to_draw(random):
    with pytest.raises(RequestError, match="random: must be from 1 to 2, the combinations of the grid, got"):
        names("optim.lr=1,2", random=random)


def test_all_problems_are_named_at_once():
    with pytest.raises(RequestError) as caught:
        names("optim.l=1", "x", "train.seed=3..1")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("axis", "problem"),
    [
        ("optim.lr=0.1,abc", "optim.lr must be a number, got 'abc'"),
        ("model.width=0,8", "model.width must be a whole number of at least 1, got '0'"),
        ("log.format=json,xml", "log.format must be one of "),
        ("data.name=./here,nosuch", ""),  # paths depend on where a run is
    ],
)
def test_wrong_values_are_named_beside_a_wrong_setting(axis, problem):
    with pytest.raises(RequestError) as caught:
        names("train.sed=0..2", axis)
    texts = [str(each) for each in caught.value.problems]
    assert texts[0].startswith("grid: must name a setting such as optim.lr, got 'train.sed'")
    assert len(texts) == 1 + bool(problem)
    assert texts[-1].startswith(f"grid: {problem}" if problem else texts[0])
