"""Pods of a JobSet on this machine: `$` in values and in the command means what the kubelet makes of it."""

import pytest

from launcher import TrainingJob, render
from launcher.local.pods import expand, resolve

# From the tests of Kubernetes' expansion (third_party/forked/golang/expansion), and what its rules imply.
REFERENCES = [
    ("$(A)", "1"),
    ("a$(A)b$(B)c", "a1b2c"),
    ("$(NONE)", "$(NONE)"),
    ("$$(A)", "$(A)"),
    ("$$$(A)", "$1"),
    ("$$$$(A)", "$$(A)"),
    ("pa$$word", "pa$word"),
    ("cost $5", "cost $5"),
    ("$A ${A}", "$A ${A}"),
    ("$(A", "$(A"),
    ("$($(A)", "$($(A)"),
    ("$()", "$()"),
    ("$", "$"),
    ("a$", "a$"),
    ("$$", "$"),
    ("$(A)$", "1$"),
    ("$(EMPTY)|", "|"),
]


@pytest.mark.parametrize(("text", "expected"), REFERENCES)
def test_references(text, expected):
    assert resolve(text, {"A": "1", "B": "2", "EMPTY": ""}) == expected


def pod(env, **fields):
    [jobset] = render(TrainingJob(slice="cpu-1x1", arch="resnet18", platform="local", env=env, **fields))
    return jobset, lambda **machine: expand(jobset, "u", 0, {"TOKEN": "t$(A)$$"}, machine)[0]


def test_a_value_may_use_what_stands_before_it():
    env = {"A": "$(B)", "B": "x", "C": "$(B)/$(RESNET_POD)", "D": "$(C)", "E": "$(JOB_COMPLETION_INDEX)"}
    expected = {
        "A": "$(B)",
        "B": "x",
        "C": "x/resnet18-cpu-1x1-slice-0-0",
        "D": "x/resnet18-cpu-1x1-slice-0-0",
    }
    variables = pod(env)[1]().env
    assert {name: variables[name] for name in env} == expected | {"E": "$(JOB_COMPLETION_INDEX)"}


def test_a_secret_is_taken_as_it_is():
    variables = pod({"A": "1"}, secret_env={"TOKEN": "s/k"})[1]().env
    assert variables["TOKEN"] == "t$(A)$$"


def test_the_machine_s_values_are_used_in_references_too():
    env = {"CACHE": "$(HOME)/cache", "PEER": "$(RESNET_COORDINATOR)"}
    _, expanded = pod(env)
    variables = expanded(HOME="/home/me", RESNET_COORDINATOR="127.0.0.1:1").env
    assert (variables["CACHE"], variables["PEER"]) == ("/home/me/cache", "127.0.0.1:1")
    assert "HOME" not in expanded(HOME=None).env


def test_the_command_is_expanded_with_all_variables():
    jobset, expanded = pod({"A": "1"})
    container = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["python", "$(A)", "$(JOB_COMPLETION_INDEX)", "$$(A)", "$(NONE)"]
    assert expanded().command == ["python", "1", "0", "$(A)", "$(NONE)"]


def test_the_manifest_keeps_what_was_typed():
    jobset, _ = pod({"A": "pa$$word", "B": "$(A)"})
    container = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "A", "value": "pa$$word"} in container["env"]
