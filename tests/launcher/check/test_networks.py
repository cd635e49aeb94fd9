"""Networks side by side: which recipe each gets, what is left empty and why, and the picture."""

import json
import re
from xml.etree import ElementTree

import pytest

from launcher import contract
from launcher.check import accuracy_plot, networks
from launcher.check.networks import Choice, Compared
from launcher.check.prices import Prices
from launcher.cli import main
from launcher.errors import RequestError

RECIPES = {"classic-90": 0.764, "rsb-a1": 0.804, "torchvision-v2": 0.8085, "mdeq-small": 0.757}


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))

    def check(line):
        code = main(["check", *line.split()])
        return code, *capsys.readouterr()

    return check


def test_accuracies_are_those_that_the_recipes_state():
    published = contract.document()["published"]
    assert {name: published[name]["accuracy"] for name in RECIPES} == RECIPES
    assert published["mdeq-small"]["arch"] == "mdeq-small"
    assert not {"digits", "fashion", "smoke", "mdeq-cifar"} & published.keys()  # other data than ImageNet


def test_a_network_has_its_most_accurate_recipe_or_the_one_that_is_named():
    assert networks.read("resnet50, mdeq-small,resnet50@classic-90,resnet18") == [
        Choice(arch="resnet50", recipe="torchvision-v2", accuracy=0.8085),
        Choice(arch="mdeq-small", recipe="mdeq-small", accuracy=0.757),
        Choice(arch="resnet50", recipe="classic-90", accuracy=0.764),
        Choice(arch="resnet18", recipe="", accuracy=None),
    ]
    # --recipe: of all that name none; what is published for another network says nothing about this one
    assert networks.read("resnet18,resnet50@rsb-a1", "classic-90") == [
        Choice(arch="resnet18", recipe="classic-90", accuracy=None),
        Choice(arch="resnet50", recipe="rsb-a1", accuracy=0.804),
    ]


@pytest.mark.parametrize(
    ("names", "problems"),
    [
        ("resnet5", ["must be names of networks, got 'resnet5'"]),
        ("", ["must be names of networks, got ''"]),
        ("resnet50,", ["must be names of networks, got ''"]),
        ("own.nets:small", ["must be networks of this project, whose recipes are published, got 'own"]),
        ("resnet50,resnet50", ["must name each network once, got 'resnet50' twice"]),
        ("resnet50,resnet50@torchvision-v2", ["must name each network once, got 'resnet50@torch"]),
        ("resnet50@rsb-a9", ["must have a recipe after @, got 'resnet50@rsb-a9'"]),
        ("resnet50@", ["must have a recipe after @, got 'resnet50@'"]),
        ("own:net,resnt18", ["must be networks of this project", "must be names of networks, got 'resnt18'"]),
    ],
)
def test_names_that_are_wrong_are_one_error(names, problems):
    with pytest.raises(RequestError) as error:
        networks.read(names)
    assert [p.field for p in error.value.problems] == ["compare-archs"] * len(problems)
    for problem, text in zip(error.value.problems, problems, strict=True):
        assert problem.message.startswith(text)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("--compare-archs resnet50 --arch resnet18", "arch: must be left out with --compare-archs"),
        ("--compare-archs resnet50 --batch auto", "batch: must be a number with --compare-archs, got 'auto'"),
        ("--compare-archs resnet50 --compare v5e-4", "compare-archs: must be left out with --compare"),
        ("--compare-archs resnet50 --no-compile", "compare-archs: must be left out with --no-compile"),
        (
            "--compare-archs resnet50 --plot a.png",
            "plot: must be an .svg file, together with --batch auto or",
        ),
        ("--compare-archs resnet50 --command true", "compare-archs: must be left out with command"),
        ("--compare-archs resnt50", "compare-archs: must be names of networks, got 'resnt50'"),
    ],
)
def test_flags_that_do_not_fit_are_one_error(run, line, problem):
    code, out, err = run(f"--slice v5e-4 {line}")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {problem}")
    assert err.count("error:") == 1


@pytest.mark.slow
def test_each_row_has_what_is_known_and_the_lines_below_say_what_is_not(run, tmp_path):
    flags = "--slice v5e-4 --set model.dtype=bfloat16 --set data.image_size=64 --estimate --price 1.2"
    archs = "--compare-archs deq-tiny,resnet50@classic-90,resnet18@rsb-a3 --set augment.resolution=0"
    code, out, err = run(f"{flags} {archs} --plot picture.svg")
    assert code == 0, err
    head, *lines = out.splitlines()
    columns = re.split(r"  +", head)
    assert columns == list(networks.COLUMNS)
    rows = {line.split()[0]: dict(zip(columns, re.split(r"  +", line), strict=True)) for line in lines[:3]}
    assert list(rows)[-1] == "deq-tiny"  # without chip-hours: last
    assert rows["resnet50"]["top-1"] == "76.4 %"
    assert rows["resnet50"]["M parameters"] == "25.5"  # with the stem for small images
    assert float(rows["resnet50"]["chip-hours"]) > 0
    assert rows["resnet18"]["top-1"] == "-"
    assert float(rows["resnet18"]["cost"].replace(",", "")) > 0
    unknown = rows["deq-tiny"]
    assert [unknown[c] for c in ("recipe", "top-1", "time", "chip-hours", "cost")] == ["-"] * 5
    assert float(unknown["images/s per chip"].replace(",", "")) > 0
    below = "\n".join(lines[3:])
    assert f"deq-tiny: {networks.NO_RECIPE}" in below
    assert "resnet18: no accuracy is published for it with the recipe rsb-a3" in below
    assert "nothing here was trained" in below

    text = (tmp_path / "picture.svg").read_text()
    labels = [element.text for element in ElementTree.fromstring(text).iter() if element.text]
    assert "resnet50@classic-90" in labels
    assert "not shown: resnet18@rsb-a3, deq-tiny" in labels

    code, out, _ = run(f"{flags} {archs} --json")
    documents = {one["arch"]: one for one in json.loads(out)}
    assert documents["resnet50"]["accuracy"] == 0.764
    assert documents["resnet50"]["compiled"]["cached"]
    assert documents["deq-tiny"]["recipe"] == ""


@pytest.mark.slow
def test_a_network_that_cannot_be_compiled_leaves_the_others(run):
    """Images of 9 pixels cannot be halved."""
    line = "--slice v5e-4 --estimate --set data.image_size=9"
    code, out, _ = run(f"{line} --compare-archs deq-tiny,resnet-tiny@smoke")
    assert code == 1
    assert "deq-tiny: model.arch: deq-tiny needs images whose sides are a multiple of 2" in out
    assert re.search(r"^resnet-tiny +smoke +- +0.[0-9]+ ", out, re.M)
    code, out, err = run(f"{line} --compare-archs deq-tiny")
    assert (code, out) == (1, "")
    assert "error: no network could be assessed: model.arch: deq-tiny needs images" in err


def test_a_picture_without_points_says_so():
    choice = Choice(arch="resnet18", recipe="", accuracy=None)
    text = accuracy_plot.svg([Compared(choice=choice, failure="no compiler")], "v5e-4")
    assert "no network has both numbers" in text
    assert networks.row(Compared(choice=choice, failure="x"), Prices())["top-1"] == ""
