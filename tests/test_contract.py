"""contract.json against what the trainer declares and writes, and against what the launcher reads."""

import json
import signal
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("read", "written"),
    [
        (contract.ProgressLine, contract.document()["lines"]["progress"]["fields"]),
        (contract.EvaluateLine, contract.document()["lines"]["evaluate"]["fields"]),
        (contract.CheckResult, contract.document()["check"]["result"] | {"cached": {"type": "bool"}}),
        (contract.StepResult, contract.document()["check"]["result"]["train"]["fields"]),
    ],
)
def test_the_launcher_reads_no_field_that_the_trainer_does_not_write(read, written):
    assert set(typing.get_type_hints(read)) <= set(written)


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
        (["--estimate", "gpu:x"], "argument --estimate: must be of the form gpu:8, got 'gpu:x'"),
        (["--topology", "v4:2x2x1"], "--topology and --host-bounds: must be set without --estimate"),
    ],
)
def test_check_refuses_wrong_flags_in_one_line(flags, message):
    words = [*flags, "--", "--arch", "resnet-tiny"]
    done = subprocess.run([sys.executable, "-m", "trainer.check", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (44, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_variable_that_pods_are_given_is_one_that_the_trainer_reads(capsys):
    given = set()
    for slice in ("v4-8", "a100-8", "cpu-2x1"):
        assert main(["render", "--slice", slice, "--arch", "resnet18"]) == 0
        printed = capsys.readouterr().out
        given |= {word for word in printed.split() if word.startswith("RESNET_")}
    read = {variable["name"] for variable in contract.document()["environment"].values()}
    assert given == read - {"JOB_COMPLETION_INDEX", "RESNET_PROGRAM"}
