"""A program of the user's own: its fields, and whose values count when a file names another program."""

import json

import pytest

from launcher import TrainingJob, render
from launcher.cli import main
from launcher.errors import RequestError
from launcher.request import exit_codes, sources

PROGRAM = {"slice": "cpu-2x1", "command": "python train.py --lr 0.1", "name": "mine"}
FLAGS = ["--slice", "cpu-2x1", "--command", "python train.py", "--name", "mine"]


def problems(**fields):
    with pytest.raises(RequestError) as caught:
        TrainingJob(**fields)
    return {p.field: f"{p.message} / {p.hint}" for p in caught.value.problems}


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ("python train.py --lr 0.1", ("python", "train.py", "--lr", "0.1")),
        ("bash -c 'a && b \"$c\"'", ("bash", "-c", 'a && b "$c"')),
        ("x  ''  \"a b\" c\\ d", ("x", "", "a b", "c d")),
        (["x", "a b", "line\nline", 3], ("x", "a b", "line\nline", "3")),
        (("./run.sh",), ("./run.sh",)),
    ],
)
def test_a_command_is_split_as_a_shell_splits_it(written, arguments):
    assert TrainingJob(**PROGRAM | {"command": written}).command == arguments


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"command": "python 'train.py"}, "command", "must be a command whose quotes are closed (no closing"),
        ({"command": "train.py\\"}, "command", "must be a command whose quotes are closed (no escaped"),
        ({"command": ""}, "command", "must begin with a program, got ''"),
        ({"command": "'' train.py"}, "command", "must begin with a program"),
        ({"command": ["a\0b"]}, "command", "must be text"),
        ({"command": {"a": 1}}, "command", "must be a command, as text or as a list"),
        ({"command": 7}, "command", "must be a command, as text or as a list of arguments, got 7"),
        ({"name": None}, "name", "must be given with command / --command"),
        ({"arch": "resnet50"}, "command", "must be left out with arch, got both (arch resnet50)"),
        ({"data": "digits"}, "data", "must be left out with command: only the trainer reads it"),
        ({"notify": "s/k"}, "notify", "must be left out with command: only the trainer reads it"),
        ({"seed": 0}, "seed", "must be left out with command"),
        ({"set": ["optim.lr=1"]}, "set", "must be left out with command"),
        ({"args": ["--batch", "8"]}, "args", "must be left out with command"),
        ({"recipe": "smoke"}, "recipe", "must be left out with command"),
        ({"workdir": "app"}, "workdir", "must be an absolute path in the pod, got 'app'"),
        ({"exit_codes": "saved=42"}, "exit-codes", "must name ends of a program (finished, preempted"),
        ({"exit_codes": "fatl=1"}, "exit-codes", "did you mean fatal?"),
        ({"exit_codes": "fatal"}, "exit-codes", "must be NAME=CODE,…, got 'fatal' / --exit-codes"),
        ({"exit_codes": "fatal=300"}, "exit-codes", "must have exit codes from 1 to 255 for fatal"),
        ({"exit_codes": {"finished": 3}}, "exit-codes", "must have finished=0: Kubernetes takes"),
        ({"exit_codes": "retry=7,fatal=7"}, "exit-codes", "must give each exit code one meaning, got"),
        ({"env": {"RANK": "1"}}, "env", "must not set RANK: the launcher or the cluster sets it"),
        ({"secret_env": {"MASTER_ADDR": "s/k"}}, "secret-env", "must not set MASTER_ADDR"),
    ],
)  # fmt: skip
def test_bad_input(fields, field, message):
    wrong = problems(**PROGRAM | fields)
    assert list(wrong) == [field]
    assert message in wrong[field]


def test_a_network_or_a_command_must_be_given():
    hint = 'as in --arch resnet50, or --command "python train.py" --name my-run'
    assert problems(slice="cpu-2x1") == {"arch": f"must be given, or command in its place / {hint}"}


@pytest.mark.parametrize("fields", [{"workdir": "/app"}, {"exit_codes": "fatal=1"}])
def test_what_belongs_to_a_command_needs_one(fields):
    [message] = problems(slice="cpu-2x1", arch="resnet18", **fields).values()
    assert message.startswith("must be used with command / --command")


def test_on_tpu_the_joining_variables_are_the_user_s():
    assert TrainingJob(**PROGRAM | {"slice": "v4-8", "env": {"RANK": "1"}}).env == {"RANK": "1"}
    assert TrainingJob(slice="cpu-2x1", arch="resnet18", env={"RANK": "1"}).env == {"RANK": "1"}


@pytest.mark.parametrize(
    "written",
    [
        "fatal=44,preempted=43,preempted=42",
        {"fatal": 44, "preempted": [43, 42]},
        {"preempted": ["42", "43"], "fatal": "44"},
        ["preempted=42", "preempted=43", "fatal=44", "fatal=44"],
    ],
)
def test_exit_codes_have_one_form(written):
    table = TrainingJob(**PROGRAM | {"exit_codes": written}).exit_codes
    assert table == {"preempted": (42, 43), "fatal": (44,)}
    assert exit_codes.text(table) == "preempted=42,preempted=43,fatal=44"


def test_codes_that_a_table_lacks_have_no_meaning():
    table = exit_codes.read("preempted=75")
    assert exit_codes.codes(table, "restart, not counted") == [75]
    assert exit_codes.codes(table, "fail at once") == []
    assert exit_codes.meanings(table) == {75: "preempted, state saved"}
    assert exit_codes.codes(None, "fail at once") == [44]


FILE = "data: digits\nset: [optim.lr=1]\narch: resnet50\nimage: r/i:1\n"


def merged(tmp_path, file, *flags, environ=None):
    (tmp_path / "resnet-launch.yaml").write_text(file)
    values, _ = sources.merge(
        sources.flags(dict(flags)),
        sources.environment(environ or {}),
        sources.file(tmp_path / "resnet-launch.yaml"),
    )
    return values


def test_a_command_replaces_the_network_of_weaker_sources_and_its_settings(tmp_path):
    values = merged(tmp_path, FILE, ("command", "x"), ("name", "mine"))
    assert values == {"command": "x", "name": "mine", "image": "r/i:1"}
    values = merged(tmp_path, FILE, ("name", "mine"), environ={"RESNET_LAUNCH_COMMAND": "a, b"})
    assert values == {"command": "a, b", "name": "mine", "image": "r/i:1"}


def test_a_network_replaces_the_command_of_weaker_sources(tmp_path):
    file = "command: [python, train.py, --lr, 0.10]\nworkdir: /app\nexit-codes: {fatal: 1}\nimage: r/i:1\n"
    assert merged(tmp_path, file, ("arch", "resnet18")) == {"arch": "resnet18", "image": "r/i:1"}
    values = merged(tmp_path, file, ("name", "mine"))
    assert TrainingJob(slice="cpu-2x1", **values).command == ("python", "train.py", "--lr", "0.10")


def test_what_stronger_or_equal_sources_say_of_the_trainer_is_refused(tmp_path):
    for file, flags in ((f"command: x\n{FILE}", ()), ("command: x\n", (("data", "digits"),))):
        values = merged(tmp_path, file, ("name", "mine"), *flags)
        assert "data" in problems(slice="cpu-2x1", **values)


def test_the_file_is_named_for_what_it_is_used_for_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet-launch.yaml").write_text(FILE)
    assert main(["render", *FLAGS]) == 0
    err = capsys.readouterr().err
    assert f"using {tmp_path}/resnet-launch.yaml for image" in err
    assert "data" not in err


def test_flags_files_environment_and_python_make_the_same_manifest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", *FLAGS, "--workdir", "/a", "--exit-codes", "fatal=2"]) == 0
    by_flags = capsys.readouterr().out
    for name, value in {"COMMAND": "python train.py", "WORKDIR": "/a", "EXIT_CODES": "fatal=2"}.items():
        monkeypatch.setenv(f"RESNET_LAUNCH_{name}", value)
    assert main(["render", "--slice", "cpu-2x1", "--name", "mine"]) == 0
    assert capsys.readouterr().out == by_flags
    fields = {"command": ["python", "train.py"], "workdir": "/a", "exit_codes": {"fatal": [2]}}
    [jobset] = render(TrainingJob(slice="cpu-2x1", name="mine", **fields))
    assert json.dumps("mine") in json.dumps(jobset)
    monkeypatch.delenv("RESNET_LAUNCH_COMMAND")
    monkeypatch.delenv("RESNET_LAUNCH_WORKDIR")
    monkeypatch.delenv("RESNET_LAUNCH_EXIT_CODES")
    text = "command: python train.py\nworkdir: /a\nexit_codes: {fatal: 2}\n"
    (tmp_path / "resnet-launch.yaml").write_text(text)
    assert main(["render", "--slice", "cpu-2x1", "--name", "mine"]) == 0
    assert capsys.readouterr().out == by_flags
