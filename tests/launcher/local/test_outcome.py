"""What `local` prints at its end: each command of it is typed again, and describes the same run."""

import json
import shlex
from pathlib import Path

import click
import pytest
import yaml

from launcher import TrainingJob
from launcher.cli import main
from launcher.cli.verbs.local import request
from launcher.local import outcome
from launcher.request import precedence

END = [
    {"name": "start"},
    {"name": "first_step"},
    {"name": "end", "step": 269, "accuracy": 0.98611},
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()


def job_of(**flags) -> TrainingJob:
    flags = {"slice": "cpu-2x1", "arch": "resnet18", **flags}
    with click.Context(click.Command("local"), obj=flags.pop("args", ())):
        return request(flags)


def ended(job, events, page=True):
    Path(job.run_dir).mkdir(parents=True, exist_ok=True)
    Path(job.run_dir, "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    if page:
        Path(job.run_dir, "report.html").write_text("<html>")


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({}, "resnet18-cpu-2x1"),
        ({"data": "digits"}, "resnet18-cpu-2x1-digits"),
        ({"data": "photos"}, "resnet18-cpu-2x1-photos"),
        ({"set": ("data.name=fashion-mnist",)}, "resnet18-cpu-2x1-fashion-mnist"),
        ({"data": "gs://bucket/My_Photos-256/"}, "resnet18-cpu-2x1-my-photos-256"),
        ({"data": "digits", "name": "mine"}, "mine"),
        ({"data": f"/d/{'long-' * 30}"}, "resnet18-cpu-2x1-long-long-long-long-long-long"),
    ],
)
def test_names_tell_data_apart(flags, name, tmp_path):
    job = job_of(**flags)
    assert (job.name, job.run_dir) == (name, f"{tmp_path}/runs/{name}")


def test_a_finished_run_says_accuracy_page_and_whether_it_trained():
    job = job_of(data="digits")
    ended(job, END)
    first, where, page, *_ = outcome.lines(job, {}, 0, 366.2)
    assert first == f"{job.name} finished in 366 s with 0 restarts: accuracy 98.61% after 269 steps"
    assert (where, page) == (
        f"its results are in {job.run_dir}",
        f"its page, for a browser: file://{job.run_dir}/report.html",
    )
    ended(job, [*END, {"name": "start"}, {"name": "restore"}, END[-1]])
    assert outcome.lines(job, {}, 0, 8)[0].startswith(f"{job.name} was already finished: accuracy 98.61%")
    assert outcome.lines(job, {}, 1, 8)[0].startswith(f"{job.name} finished in 8 s with 1 restart: ")


@pytest.mark.parametrize(
    "text", ["", "[1]\n", '{"name": "end"', '{"name": "start"}\n{"name": "end"}\n', "\xff"]
)
def test_a_run_directory_that_says_nothing_is_no_error(text):
    job = job_of(data="digits")
    ended(job, [], page=False)
    Path(job.run_dir, "events.jsonl").write_text(text, encoding="latin-1")
    assert ": accuracy" not in outcome.lines(job, {}, 0, 5)[0]


@pytest.mark.parametrize(
    "flags",
    [
        {"data": "digits"},
        {"data": "photos", "batch": "4", "steps": "2"},
        {"data": "photos", "batch": "5", "seed": "3", "slice": "cpu-1x1"},
        {"set": ("data.name=photos", "optim.lr=0.3", "data.stage=stage")},
        {"data": "digits", "env": ("A=two words",), "max_restarts": "3", "recipe": "digits"},
        {"data": "digits", "args": ("--set", "optim.lr=0.2", "--epochs", "2")},
        {"args": ("--data", "/d/photos", "--set", "data.stage=/d/stage", "--seed", "4")},
        {},
    ],
)
def test_its_commands_paste_and_keep_the_settings(flags, capsys, tmp_path):
    job = job_of(**flags)
    ended(job, END)
    typed = {name: value for name, value in flags.items() if name != "args"} | {"arch": "resnet18"}
    typed.setdefault("slice", "cpu-2x1")
    commands = outcome.lines(job, typed, 0, 5)
    commands = [line.strip() for line in commands[commands.index("next:") + 1 :]]
    render = next(command for command in commands if " render " in command)
    assert str(tmp_path) not in render
    words = shlex.split(render, comments=True)[1:]
    assert main(words) == 0
    out = capsys.readouterr().out
    container = yaml.safe_load(out)["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    command = container["containers"][0]["command"]
    there = precedence.resolve(zip(command[3::2], command[4::2], strict=True))
    differ = {name for name in there if there[name] != job.settings[name]}
    assert differ <= {"data.name", "data.stage"}
    assert str(there["data.name"]) in ("digits", "synthetic", "gs://my-bucket/photos")


def test_a_finished_run_says_how_to_train_anew(capsys):
    job = job_of(data="digits")
    ended(job, [{"name": "start"}, END[-1]])
    [anew] = [
        line
        for line in outcome.lines(job, {"slice": "cpu-2x1", "arch": "resnet18"}, 0, 5)
        if " local " in line
    ]
    assert anew.split("   #")[0].strip() == (
        "resnet-launch local --slice cpu-2x1 --arch resnet18 --name resnet18-cpu-2x1-digits-2"
    )
