"""Each verb, flag, setting and page that a text of the packages names exists: what hints say can be typed."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from launcher import contract
from launcher.cli import HIDDEN, VERBS, group, main
from trainer import arguments
from trainer.cli import parser as trainer_parser
from trainer.data import verbs
from trainer.data.__main__ import parser as data_parser
from trainer.usage import flags_of

ROOT = Path(__file__).parents[2]
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+[a-z]")
VERB = re.compile(r"\bresnet-(launch|train) ([a-z]+)(?= (?:NAME|\{|-|[A-Z])|$| lists| shows| --)")
SETTING = re.compile(r"--set ([a-z]+\.[a-z_]+)=")
# Where flags are those of a compiler, of other programs, or names of colours.
INTERNAL = (
    *("launcher/check/compiler.py", "launcher/check/installation.py"),  # the latter types gcloud and helm
    *("launcher/cluster/credentials.py", "launcher/code/git.py"),
    *("launcher/image/packages.py", "launcher/image/uv.py", "launcher/request/tuning.py"),
    *("trainer/check/", "trainer/cost/", "trainer/report/"),
)
HIDDEN_FLAGS = {"--chips"}  # the launcher hands them to the trainer's programs; nobody types them
PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")


def texts() -> Iterator[tuple[str, str]]:
    """Yield (place, text) of each string of both packages but docstrings; `{}` for what is filled in."""
    for path in sorted([*ROOT.glob("launcher/**/*.py"), *ROOT.glob("trainer/**/*.py")]):
        tree = ast.parse(path.read_text())
        formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
        inside = {id(part) for node in formatted for part in node.values}
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
                yield place, "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if id(node) in inside or id(node) in prose:
                    continue
                yield place, node.value


def launcher_flags() -> set[str]:
    context = click.Context(group)
    commands = [group.get_command(context, name) for name in [*VERBS, *HIDDEN]]
    params = [param for command in commands if command for param in command.params]
    return {flag for param in params for flag in (*param.opts, *param.secondary_opts)}


@pytest.fixture(scope="module")
def flags() -> set[str]:
    trainers = [arguments.parser(), trainer_parser(), data_parser()]
    known = launcher_flags() | {flag for parser in trainers for flag in flags_of(parser)}
    return known | {"--debug", "--help", "--version"}


HINTS = [(place, text) for place, text in texts() if "\n" not in text]


def test_there_are_hints_to_look_at():
    assert sum(bool(FLAG.search(text)) for _, text in HINTS) > 100
    assert sum(bool(VERB.search(text)) for _, text in HINTS) > 15


def test_each_flag_that_a_text_names_exists(flags):
    programs = ("kubectl", "gcloud", "docker", "pip", "argument", "crane", "helm", "git rm")
    own = [(place, text) for place, text in HINTS if not any(program in text for program in programs)]
    unknown = {
        (flag, place)
        for place, text in own
        for flag in FLAG.findall(text)
        if flag not in flags | HIDDEN_FLAGS
    }
    assert {(flag, place) for flag, place in unknown if not place.startswith(INTERNAL)} == set()


def test_each_verb_that_a_text_names_exists():
    trainer = re.findall(r"resnet-train ([a-z]+) ", trainer_parser().epilog or "")
    known = {"launch": {*VERBS}, "train": {*trainer, "train"}}
    named = [(place, *match) for place, text in HINTS for match in VERB.findall(text)]
    assert [(place, program, verb) for place, program, verb in named if verb not in known[program]] == []


def test_each_setting_and_each_page_that_a_text_names_exists():
    settings = [(place, name) for place, text in HINTS for name in SETTING.findall(text)]
    settings = [(place, name) for place, name in settings if not place.startswith(INTERNAL)]
    assert [row for row in settings if row[1] not in contract.fields()] == []
    pages = [(place, page) for place, text in HINTS for page in PAGE.findall(text)]
    assert pages
    assert [row for row in pages if not (ROOT / row[1]).is_file()] == []


def test_no_text_installs_the_package_from_an_index():
    wrong = [place for place, text in HINTS if re.search(r"pip install ['\"]?resnet-launch", text)]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "render --format kustomize --slice v4-32 --arch resnet50",
        "render base --slice v4-32 --arch resnet50",
        "slices v4 v5e",
        "slices abc",
        "--slice cpu-2x1 --arch resnet18 --data digits",
        "--slice cpu-2x1 --arch resnet18 --env 'A=two words' --no-fabric",
        "render --spoot",
        "config --trian",
    ],
)
def test_a_hint_that_is_a_command_of_the_launcher_runs(line, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    words = shlex.split(line)
    assert main(words) in (1, 2)
    [hint] = [text for text in capsys.readouterr().err.splitlines() if text.startswith("hint: ")]
    hint = hint.removeprefix("hint: ")
    if match := re.match(r"did you mean (--.*)\?$", hint):  # in the place of the last word
        hint = shlex.join(["resnet-launch", *words[:-1], match[1], "--help"])
    hint = re.sub(r" lists? .*$", "", hint)
    assert hint.startswith("resnet-launch ")
    assert main(shlex.split(hint)[1:]) == 0, hint


@pytest.mark.parametrize("images", [0, 1, 7, 1023, 5000])
@pytest.mark.parametrize("address", ["/d/my photos", "gs://my-bucket/photos"])
def test_the_next_command_of_a_pack_is_accepted(address, images, monkeypatch, capsys):
    command = shlex.split(verbs._next(address, images))
    assert command[:2] == ["resnet-train", "train"]
    config = arguments.parse(command[2:])
    assert config.data.name == address
    assert images == 0 or config.train.batch <= max(images, 1)
    monkeypatch.setenv("RESNET_PROGRAM", "resnet-launch data")
    command = shlex.split(verbs._next(address, images))
    remote = address.startswith("gs://")
    assert command[:2] == ["resnet-launch", "--slice" if remote else "local"]
    if remote:  # submit has the flags of render
        assert main(["render", *command[1:]]) == 0
