"""The environment of a pod, read; and processes that must not train alone."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from trainer.errors import ConfigError
from trainer.runtime import join
from trainer.runtime.joining import Job, _answering, read_environment

POD = {
    "RESNET_PLATFORM": "cpu",
    "RESNET_COORDINATOR": "run-slice-0-0.run:8476",
    "RESNET_HOSTS_PER_SLICE": "4",
    "RESNET_SLICES": "2",
    "RESNET_SLICE_INDEX": "1",
    "JOB_COMPLETION_INDEX": "3",
    "RESNET_HOSTS": "8",
    "RESNET_DEVICES": "16",
    "RESNET_RESTART": "2",
}


def test_the_process_id_counts_slice_by_slice():
    job = read_environment(POD)
    assert job.process_id == 7
    assert (job.hosts, job.devices, job.restart) == (8, 16, 2)


def test_on_tpu_the_rest_comes_from_gke():
    job = read_environment(
        {"RESNET_PLATFORM": "tpu", "RESNET_SLICES": "2", "RESNET_HOSTS": "8", "RESNET_DEVICES": "32"}
    )
    assert (job.platform, job.slices, job.hosts, job.coordinator) == ("tpu", 2, 8, "")


def test_started_by_hand_it_is_alone():
    assert read_environment({}) == Job()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RESNET_PLATFORM": "gpux"}, "RESNET_PLATFORM: must be cpu, gpu or tpu, got 'gpux'"),
        ({"RESNET_COORDINATOR": ""}, "RESNET_COORDINATOR: must be set where RESNET_PLATFORM is cpu"),
        ({"RESNET_HOSTS": "many"}, "RESNET_HOSTS: must be a whole number, got 'many'"),
        ({"RESNET_HOSTS": "9"}, "RESNET_HOSTS: must be 2 slices x 4 hosts and above process 7, got 9"),
        (
            {"JOB_COMPLETION_INDEX": "4"},
            "RESNET_HOSTS: must be 2 slices x 4 hosts and above process 8, got 8",
        ),
    ],
)
def test_a_contradiction_is_refused(change, message):
    with pytest.raises(ConfigError) as caught:
        read_environment(POD | change)
    assert str(caught.value) == message


def test_a_pod_without_the_variables_is_refused():
    with pytest.raises(ConfigError, match="RESNET_PLATFORM: must be set in a pod"):
        read_environment({"JOB_COMPLETION_INDEX": "0"})


def start(tmp_path, env, *arguments):
    command = [sys.executable, "-m", "trainer", "--run-dir", str(tmp_path), "--arch", "resnet-tiny"]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RESNET_", "JAX_"))}
    return subprocess.Popen(
        [*command, *arguments],
        env=inherited | {"JAX_PLATFORMS": "cpu"} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def trainer(tmp_path, env, *arguments):
    process = start(tmp_path, env, *arguments)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


ALONE = POD | {
    "RESNET_SLICES": "1",
    "RESNET_SLICE_INDEX": "0",
    "RESNET_HOSTS_PER_SLICE": "1",
    "RESNET_HOSTS": "1",
}


def test_the_wrong_number_of_devices_is_an_error(tmp_path):
    env = ALONE | {"JOB_COMPLETION_INDEX": "0", "RESNET_DEVICES": "4", "JAX_NUM_CPU_DEVICES": "2"}
    done = trainer(tmp_path, env, "--data", "digits")
    assert done.returncode == 43
    assert "error: devices must be 4 over 1 hosts, got 2" in done.stderr


def test_sigterm_while_joining_ends_the_pod_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        silent.settimeout(60)
        env = ALONE | {"RESNET_HOSTS_PER_SLICE": "2", "RESNET_HOSTS": "2", "JOB_COMPLETION_INDEX": "1"}
        env |= {"RESNET_COORDINATOR": f"127.0.0.1:{silent.getsockname()[1]}"}
        process = start(tmp_path, env, "--data", "digits")
        with silent.accept()[0]:
            process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            _, err = process.communicate(timeout=60)
    assert process.returncode == 42
    assert time.monotonic() - begun < 20
    assert "nothing is lost" in err


@pytest.mark.parametrize(
    ("coordinator", "problem"),
    [
        ("nobody.invalid:1", "'s name 'nobody.invalid' does not resolve"),
        ("127.0.0.2:1", " 127.0.0.2:1 does not answer"),
    ],
)
def test_a_coordinator_that_never_comes_is_an_error(tmp_path, coordinator, problem):
    env = ALONE | {"RESNET_HOSTS_PER_SLICE": "2", "RESNET_HOSTS": "2", "JOB_COMPLETION_INDEX": "1"}
    env |= {"RESNET_COORDINATOR": coordinator}
    done = trainer(tmp_path, env, "--data", "digits", "--set", "train.join_seconds=1")
    assert done.returncode == 43
    assert f"error: the coordinator{problem}" in done.stderr


def test_a_name_that_stands_for_the_pod_before_is_looked_up_again(monkeypatch):
    """Until the cluster's DNS forgets the old address, which does not answer."""
    with socket.create_server(("127.0.0.3", 0)) as new:
        port = new.getsockname()[1]
        addresses = iter(["127.0.0.2", "127.0.0.2", "127.0.0.3"])
        look_up = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest: look_up(next(addresses), *rest))
        assert _answering("run-slice-0-0.run", port, time.monotonic() + 20) == f"127.0.0.3:{port}"


def test_a_process_started_by_hand_joins_nobody(monkeypatch):
    for name in [*POD, "RESNET_RUN_DIR"]:
        monkeypatch.delenv(name, raising=False)
    assert join() == join() == Job()


def test_a_contradiction_in_the_environment_ends_a_program_that_joins(monkeypatch):
    for name, value in (POD | {"RESNET_HOSTS": "9"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="RESNET_HOSTS: must be 2 slices x 4 hosts"):
        join()


def test_joining_imports_the_standard_library_alone():
    heavy = "{'jax', 'numpy', 'flax'} & {*sys.modules}"
    code = f"import sys, trainer.runtime as runtime; print(runtime.join.__module__, {heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "trainer.runtime.joining set()\n"
