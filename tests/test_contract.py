"""contract.json against what the trainer declares and writes, and against what the launcher reads."""

import ast
import json
import signal
import subprocess
import sys
import types
import typing
from pathlib import Path

import contract as generated
import pytest
from train_runs import QUICK, finish, rows, start

from launcher import contract
from launcher.cli import main
from launcher.runs import trainer_log
from trainer.metrics import lines
from trainer.rundir import events
from trainer.runtime import environment

SCALARS = {int: {int}, float: {int, float}, bool: {bool}, str: {str}}  # type -> the types of its JSON
# Optional for the trainer. The launcher always asks for the training step, and reads costs where a step fits.
RELIED_ON = {"CheckResult.train", "StepResult.flops", "StepResult.bytes", "StepResult.collectives"}
SAMPLES = {"int": 3, "float": 0.25, "str": "TPU v4"}  # a value of each type


def sample(members):
    return {name: SAMPLES[member["type"]] for name, member in members.items()}


def check_shape(value, member, path="result"):
    """Fails where JSON is not of the shape that the contract states."""
    kind = member["type"]
    if kind == "object":
        required = {name for name, field in member["fields"].items() if not field.get("optional")}
        assert required <= set(value) <= set(member["fields"]), path
        for name, item in value.items():
            check_shape(item, member["fields"][name], f"{path}.{name}")
    elif kind in ("list", "map"):
        for item in value if kind == "list" else value.values():
            check_shape(item, member["items" if kind == "list" else "values"], path)
    else:
        assert type(value).__name__ in ({"int", "float"} if kind == "float" else {kind}), path


def keys(typed):
    """Key of a TypedDict -> its type, and whether it is required."""
    # __required_keys__ is of no use: annotations are strings here, and it does not see NotRequired in them.
    for key, hint in typing.get_type_hints(typed, include_extras=True).items():
        optional = typing.get_origin(hint) is typing.NotRequired
        yield key, typing.get_args(hint)[0] if optional else hint, typed.__total__ and not optional


def misfits(value, hint, path):
    """Where JSON is not of a type of the launcher."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if typing.is_typeddict(hint) and isinstance(value, dict):
        problems = [f"{path}.{key}: undeclared" for key in set(value) - {key for key, _, _ in keys(hint)}]
        problems += [f"{path}.{key}: missing" for key, _, needed in keys(hint) if needed and key not in value]
        pairs = [(value[key], inner, f"{path}.{key}") for key, inner, _ in keys(hint) if key in value]
    elif origin is list and isinstance(value, list):
        problems, pairs = [], [(item, arguments[0], f"{path}[]") for item in value]
    elif origin is dict and isinstance(value, dict):
        problems, pairs = [], [(key, arguments[0], path) for key in value]
        pairs += [(item, arguments[1], f"{path}.{key}") for key, item in value.items()]
    elif origin is types.UnionType:
        fits = any(not misfits(value, kind, path) for kind in arguments)
        problems, pairs = [] if fits else [f"{path}: {value!r} is not {hint}"], []
    else:
        known = value in arguments if origin is typing.Literal else type(value) in SCALARS.get(hint, ())
        problems, pairs = [] if known or hint is typing.Any else [f"{path}: {value!r} is not {hint}"], []
    return problems + [problem for pair in pairs for problem in misfits(*pair)]


def differences(hint, member, path):
    """Where a type of the launcher is not the declared type of what the trainer writes."""
    kind, origin, arguments = member["type"], typing.get_origin(hint), typing.get_args(hint)
    if kind == "object" and typing.is_typeddict(hint):
        problems, fields = [], member["fields"]
        for key, inner, required in keys(hint):
            optional = fields.get(key, {}).get("optional", False)
            if key not in fields:
                problems.append(f"{path}.{key}: not written")
            # A line that has not been printed yet is an empty one, so that all its keys may be missing.
            elif required == optional and hint.__total__ and f"{hint.__name__}.{key}" not in RELIED_ON:
                problems.append(f"{path}.{key}: optional on one side only")
            problems += differences(inner, fields[key], f"{path}.{key}") if key in fields else []
        return problems
    if kind == "object" and origin is dict:  # all fields of one type
        pairs = [(arguments[1], field, f"{path}.{key}") for key, field in member["fields"].items()]
    elif (kind, origin) in (("list", list), ("map", dict)):
        pairs = [(arguments[-1], member["items" if kind == "list" else "values"], path)]
    else:
        number = float | str if path.split(".")[0].endswith("Line") else float  # NaN in a line stays text
        same = hint == {"int": int, "float": number, "bool": bool, "str": str}.get(kind)
        return [] if same else [f"{path}: {hint} is read, {kind} is written"]
    return [problem for pair in pairs for problem in differences(*pair)]


def test_the_file_is_what_the_trainer_declares():
    path = Path(contract.__file__).with_name("contract.json")
    assert path.read_text(encoding="utf-8") == generated.text(), "make generate"


@pytest.mark.parametrize(
    ("declared", "known"),
    [
        (contract.Then, {row["then"] for row in contract.document()["exit_codes"].values()}),
        (contract.LineKind, set(contract.document()["lines"])),
        (contract.Head, set(contract.document()["heads"])),
        (contract.StepName, set(contract.document()["check"]["steps"])),
    ],
)
def test_the_launcher_s_words_are_the_trainer_s(declared, known):
    assert set(typing.get_args(declared)) == known


def test_the_file_is_of_the_type_that_the_launcher_declares():
    assert misfits(contract.document(), contract.Document, "contract.json") == []


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (contract.ProgressLine, contract.document()["lines"]["progress"]["fields"]),
        (contract.EvaluateLine, contract.document()["lines"]["evaluate"]["fields"]),
        (contract.CheckResult, contract.document()["check"]["result"] | {"cached": {"type": "bool"}}),
    ],
)
def test_what_the_launcher_reads_is_of_the_type_that_the_trainer_writes(read, written):
    assert differences(read, {"type": "object", "fields": written}, read.__name__) == []


@pytest.mark.parametrize("kind", ["progress", "evaluate"])
def test_the_launcher_reads_a_line_back_as_it_was_written(kind):
    line = lines.LINES[kind](**sample(contract.document()["lines"][kind]["fields"]))
    text = lines.logfmt(kind, events.known(line))
    assert getattr(trainer_log.read([text]), kind) == events.known(line)


@pytest.mark.parametrize("name", contract.document()["events"])
def test_the_launcher_reads_an_event_back_as_it_was_written(name):
    values = sample(contract.document()["events"][name]["fields"]) | {"at": 1700000000.5}
    row = events.EVENTS[name](**values).row()
    assert set(row) == {"name", *contract.document()["events"][name]["fields"]}
    assert trainer_log.read([lines.logfmt("event", row)]).events == {name: 1700000000.5}


def test_no_event_is_made_without_its_declaration():
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        events.Preempted(step=3, epoch=1)


@pytest.mark.slow
def test_a_run_writes_the_events_that_are_declared(tmp_path):
    """Preempted and resumed: nearly all of them."""
    process = start(tmp_path, *QUICK)
    for line in process.stdout:
        if line.startswith("progress step=2 "):
            process.send_signal(signal.SIGTERM)
            break
    assert finish(process)[0] == contract.document()["exit_codes"]["preempted"]["code"]
    assert finish(start(tmp_path, *QUICK))[0] == contract.document()["exit_codes"]["finished"]["code"]
    written = rows(tmp_path, "events.jsonl")
    declared = contract.document()["events"]
    assert {row["name"] for row in written} == set(declared) - {"rollback"}
    for row in written:
        name = row.pop("name")
        check_shape(row, {"type": "object", "fields": declared[name]["fields"]}, name)


def test_check_prints_the_shape_that_is_declared():
    words = ["--estimate", "gpu:2", "--", "--arch", "resnet-tiny", "--set", "model.width=8", "--batch", "8"]
    done = subprocess.run([sys.executable, "-m", "trainer.check", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check_shape(json.loads(done.stdout), {"type": "object", "fields": contract.document()["check"]["result"]})
    assert any(line.startswith(contract.head("progress")) for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--estimate", "gpu:2", "--steps=foo"], "--steps: must be train, eval or train,eval, got 'foo'"),
        (["--estimate", "gpu:2", "--steps=training"], "must be train, eval or train,eval, got 'training'"),
        (["--estimate", "gpu:x"], "--estimate: must be of the form gpu:8, got 'gpu:x'"),
        (["--topology", "v4:2x2x1"], "--topology and --host-bounds: must be set without --estimate"),
    ],
)
def test_check_refuses_wrong_flags_in_one_line(flags, message):
    words = [*flags, "--", "--arch", "resnet-tiny"]
    done = subprocess.run([sys.executable, "-m", "trainer.check", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (44, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_variable_that_pods_are_given_is_one_that_the_trainer_reads(capsys, tmp_path):
    given = set()
    program = ["--command", "true", "--name", "mine"]
    trainer = ["--arch", "resnet18", "--notify", "chat/url"]
    (tmp_path / "mine.py").touch()
    for arguments in (["v4-8", *program], *([name, *trainer] for name in ("a100-8", "cpu-2x1"))):
        assert main(["render", "--slice", *arguments, "--code", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        given |= {word for word in printed.split() if word.startswith("RESNET_")}
    read = {variable["name"] for variable in contract.document()["environment"].values()}
    assert given == read - {"JOB_COMPLETION_INDEX", "RESNET_PROGRAM", "RESNET_CACHE"}


def test_the_trainer_names_its_variables_in_their_declaration_only():
    """A reader takes the name from there, so the declared variables are all that the trainer reads."""
    declaration = Path(environment.__file__)
    literals = {
        f"{path.name}:{node.lineno} {node.value}"
        for path in declaration.parents[1].rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("RESNET_")
        if path != declaration
    }
    assert literals == set()
