"""A person reads the shape that was resolved."""

import pytest

from launcher import TrainingJob
from launcher.request import summary


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({"slice": "v4-32"}, "v4-32 = 16 chips (2x2x4) on 4 hosts, 16 devices"),
        ({"slice": "v5e-1"}, "v5e-1 = 1 chip (1x1) on 1 host, 1 device"),
        ({"slice": "tpu7x-2"}, "tpu7x-2 = 1 chip (1x1x1) on 1 host, 2 devices"),
        (
            {"slice": "v5e-256", "num_slices": 4},
            "4 x v5e-256 = 1024 chips (16x16) on 256 hosts, 1024 devices",
        ),
        ({"slice": "h100-16"}, "h100-16 = 16 GPUs on 2 hosts, 16 devices"),
        ({"slice": "cpu-2x4"}, "cpu-2x4 = 8 CPU devices on 2 hosts, 8 devices"),
    ],
)
def test_shape(fields, first):
    assert summary.lines(TrainingJob(arch="resnet50", **fields))[0] == first


@pytest.mark.parametrize(
    "fields",
    [
        {"set": ["train.batch=4096"]},
        {"batch": 1024, "args": ["--batch", "4096"]},
        {"args": ["--batch", "4096"]},
    ],
)
def test_the_batch_is_that_of_the_run_however_it_was_given(fields):
    job = TrainingJob(slice="v4-32", arch="resnet50", bucket="b-1", **fields)
    assert summary.lines(job)[1] == "batch 4096 = 256 per device"


SYNTHETIC = "no data is configured: the run trains on synthetic images (--data DATA)"


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({}, True),
        ({"set": ["optim.lr=1"], "args": ["--recipe", "smoke"]}, True),
        ({"data": "digits"}, False),
        ({"data": "synthetic"}, False),
        ({"set": ["data.name=digits"]}, False),
        ({"args": ["--data", "digits"]}, False),
        ({"args": ["--set", "data.name=/data"], "mount": ["pvc/d:/data:ro"]}, False),
        ({"recipe": "digits"}, False),
    ],
)
def test_synthetic_images_are_warned_of_unless_they_are_asked_for(fields, warned):
    job = TrainingJob(slice="v4-32", arch="resnet50", bucket="b-1", image="r/i:1", **fields)
    assert list(summary.warnings(job)) == ([SYNTHETIC] if warned else [])


@pytest.mark.parametrize(
    ("slice", "warned"),
    [
        ("v4-32", []),  # 3,264 = 204 x 16 devices
        (
            "v5e-256",
            ["batch 3264 of the recipe does not divide over 256 devices: the run would fail (--batch N)"],
        ),
    ],
)
def test_the_batch_of_a_recipe_is_warned_of_where_it_does_not_divide(slice, warned):
    job = TrainingJob(
        slice=slice, arch="resnet50", recipe="lars-4k", data="gs://b-1/d", bucket="b-1", image="r/i:1"
    )
    assert list(summary.warnings(job)) == warned


def test_batch_and_run_directory():
    job = TrainingJob(slice="v4-32", arch="resnet50", batch=4096, bucket="b-1")
    assert summary.lines(job)[1:] == ["batch 4096 = 256 per device", "run directory gs://b-1/resnet50-v4-32"]


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"WANDB_API_KEY": "x"}, ["WANDB_API_KEY"]),
        (
            {"HF_TOKEN": "x", "DB_PASSWORD": "y", "AWS_SECRET_ACCESS_KEY": "z"},
            ["HF_TOKEN", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY"],
        ),
        ({"TOKENIZERS_PARALLELISM": "false", "KEY": "1", "MONKEY": "1", "HF_TOKEN": ""}, []),
    ],
)
def test_a_variable_that_looks_like_a_secret_is_warned_of(env, names):
    job = TrainingJob(
        slice="cpu-2x1", arch="resnet18", data="digits", bucket="my-bucket", image="r/i:1", env=env
    )
    warned = [line for line in summary.warnings(job) if "looks like a secret" in line]
    assert [line.split()[1] for line in warned] == names
    assert all(f"--secret-env {name}=SECRET/KEY" in line for name, line in zip(names, warned, strict=True))


def test_a_network_policy_does_not_hold_the_node_s_network():
    fields = {
        "slice": "cpu-2x1",
        "arch": "resnet18",
        "data": "digits",
        "bucket": "my-bucket",
        "image": "r/i:1",
    }
    warned = list(summary.warnings(TrainingJob(**fields, network_policy=True, host_network=True)))
    assert len(warned) == 1
    assert warned[0].startswith("the network policy does not hold")
    assert list(summary.warnings(TrainingJob(**fields, network_policy=True))) == []


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"data": "/data/x"}, "--mount pvc/NAME:/data:ro"),
        ({"data": "/data"}, "--mount pvc/NAME:/data:ro"),
        ({"set": ["data.name=/a/b/c"]}, "--mount pvc/NAME:/a/b:ro"),
        ({"data": "/data/x", "mount": ["pvc/other:/datax"]}, "--mount pvc/NAME:/data:ro"),
        ({"data": "/data/x", "mount": ["pvc/d:/data:ro"]}, None),
        ({"data": "/data/x", "mount": ["host/disks/1:/data/x"]}, None),
        ({"data": "/data/x", "platform": "local"}, None),
        ({"data": "gs://b-1/x"}, None),
        ({"data": "digits"}, None),
    ],
)
def test_data_that_no_mount_holds(fields, hint):
    job = TrainingJob(slice="cpu-1x1", arch="resnet18", bucket="b-1", image="r/i:1", **fields)
    lines = [line for line in summary.warnings(job) if "is under no --mount" in line]
    assert bool(lines) is bool(hint)
    assert not hint or lines[0].endswith(f"({hint})")
