"""10,000 random command lines and files: each ends in manifests that validate, or in clear errors."""

import contextlib
import io
import os

import pytest
import yaml
from flag_values import BAD, GOOD, NO_SLICES, SLICES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rendered_schema import JOBSET

from launcher.cli import main
from launcher.request import sources

VALID = Draft202012Validator(JOBSET)

SWITCHES = [name for name, field in sources.FIELDS.items() if isinstance(field.default, bool)]
WORDS = st.one_of(
    st.text(max_size=12), st.sampled_from(["--", "-", "--help", "=", "a=b", "null", "[", "{}", "\0"])
)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def pairs(table: dict[str, list[str]]) -> list[list[str]]:
    return [[flag(name), value] for name, values in table.items() for value in values]


FLAGS = st.sampled_from([flag(name) for name in sources.FIELDS])
RIGHT = st.sampled_from(pairs(GOOD) + [[flag(name)] for name in SWITCHES])
ANY = st.one_of(
    RIGHT, RIGHT, RIGHT, RIGHT, st.sampled_from(pairs(BAD)), st.tuples(FLAGS, WORDS), st.tuples(WORDS)
)
MOSTLY_RIGHT = st.one_of(st.lists(RIGHT, max_size=4), st.lists(RIGHT, max_size=2), st.lists(ANY, max_size=5))
SLICE = st.sampled_from(SLICES * 3 + NO_SLICES)
TRAINER_WORDS = [["--", "--seed", "1"], ["--", "--batch"], ["--", "--set=optim.lr=1"], ["--"], ["--", "x"]]
TRAINER = st.one_of(*[st.just([])] * 3, st.sampled_from(TRAINER_WORDS))
PROGRAMS = st.sampled_from(
    [["--arch", "resnet50"]] * 6
    + [
        ["--command", command, "--name", "mine"]
        for command in ("true", "bash -c 'a \"$b\" && $(c)'", "a \n ''")
    ]
    + [["--command", "x", "--name", "mine", "--workdir", "/a", "--exit-codes", "preempted=42,fatal=1"]]
    + [["--command", "x '"], ["--command", "x", "--arch", "resnet50"], ["--command", ""]]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
ANYTHING = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=5), SCALARS, max_size=3)
)
KEYS = st.sampled_from(sorted(sources.FIELDS.keys() - sources.NOT_SHARED))
GOOD_VALUES = st.sampled_from([value for values in GOOD.values() for value in values])
FILES = st.one_of(
    st.none(),
    st.lists(RIGHT.filter(lambda flag: len(flag) == 2), max_size=3).map(
        lambda flags: {name[2:]: value for name, value in flags}
    ),
    st.dictionaries(KEYS, st.one_of(ANYTHING, GOOD_VALUES), max_size=2),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=30),
)


def outcome(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["render", *arguments])
    return code, out.getvalue(), err.getvalue()


def check(arguments: list[str], file: object) -> bool:
    """Run one request in the current folder and return whether it was rendered."""
    text = file if isinstance(file, str) else yaml.safe_dump(file, allow_unicode=True)
    with open("resnet-launch.yaml", "w", newline="") as target:
        target.write("" if file is None else text)
    code, out, err = outcome(arguments)
    assert sorted(os.listdir()) == ["bad.env", "patch.yaml", "resnet-launch.yaml", "train.env"]
    assert "Traceback" not in err
    assert "bug in resnet-launch" not in err
    if code:
        assert code == 2
        assert out == ""
        assert err.startswith(("error: ", "warning: "))
    elif not out.startswith("Usage: "):
        *_, jobset = yaml.load_all(out, Loader=yaml.CSafeLoader)
        errors = list(VALID.iter_errors(jobset))
        assert "patch" in text or not errors, errors[0]
        return True
    return False


@pytest.mark.slow
def test_every_request_ends_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.env").write_text("# of the team\nONE=1\nexport TWO='2 2'\n")
    (tmp_path / "bad.env").write_text("ONE=1\nno variable\n")
    (tmp_path / "patch.yaml").write_text("metadata: {labels: {patched: 'yes'}}\n")
    rendered = [0, 0]

    @settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(SLICE, PROGRAMS, MOSTLY_RIGHT, TRAINER, FILES)
    def each(slice_name, program, flags, trainer, file):
        arguments = [
            "--slice",
            slice_name,
            *program,
            *(argument for flag in flags for argument in flag),
            *trainer,
        ]
        rendered[check(arguments, file)] += 1

    each()
    assert min(rendered) > 2000, rendered  # both ends are reached, not one of them only
