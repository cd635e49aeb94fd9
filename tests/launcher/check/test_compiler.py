"""The flags that describe a slice to the compiler, and the errors of a compilation that fails."""

import pytest

from launcher import TrainingJob
from launcher.check import assessment, compiler
from launcher.errors import RequestError
from launcher.hardware import slices


# Host bounds and names as jax.experimental.topologies wants them; rings as Google's documentation draws them.
@pytest.mark.parametrize(
    ("name", "topology", "bounds", "chip_config", "rings"),
    [
        ("v4-32", "v4:2x2x4", "2x2x1", "megacore", None),
        ("v4-128", "v4:4x4x4", "2x2x1", "megacore", "1x1x1"),
        ("v5p-16", "v5:2x2x2", "2x2x1", "megacore", None),
        ("v5e-1", "v5e:1x1", "1x1x1", "default", None),
        ("v5e-8", "v5e:2x4", "2x2x1", "default", None),
        ("v6e-8-1", "v6e:2x4", "2x4x1", "default", None),
        ("v5e-128", "v5e:8x16", "2x2x1", "default", "0x1x0"),
        ("v6e-256", "v6e:16x16", "2x2x1", "default", "1x1x0"),
        ("tpu7x-8", "tpu7x:2x2x1", "2x2x1", "default", None),
    ],
)
def test_a_slice_as_the_compiler_spells_it(name, topology, bounds, chip_config, rings):
    expected = [
        "--topology",
        topology,
        "--slices",
        "1",
        "--host-bounds",
        bounds,
        "--chip-config",
        chip_config,
    ]
    assert compiler.slice_flags(slices.parse(name), 1) == expected + (["--wrap", rings] if rings else [])


@pytest.mark.parametrize(
    "fields",
    [
        {"batch": 96},
        {"batch": 112, "set": ["train.batch=96"]},
        {"args": ["--batch", "96"]},
        {"set": ["train.batch=96"], "args": ["--batch", "112"]},
    ],
)
def test_the_same_settings_are_the_same_question(fields):
    plain = compiler.setting_flags(TrainingJob(slice="v4-32", arch="resnet50", set=["train.batch=96"]))
    job = TrainingJob(slice="v4-32", arch="resnet50", **fields)
    assert compiler.setting_flags(job) == plain
    assert "train.batch=96" in plain
    assert compiler.setting_flags(assessment.with_batch(job, 7)) == [
        flag.replace("train.batch=96", "train.batch=112") for flag in plain
    ]


def test_only_tpus_are_compiled_for():
    with pytest.raises(
        RequestError, match="slice: must be a TPU slice to be compiled for here, got 'h100-8'"
    ):
        compiler.slice_flags(slices.parse("h100-8"), 1)


def test_the_trainers_own_error_is_the_error():
    log = [
        "progress: tracing",
        "error: train.batch: must be a multiple of 4 devices, got 6",
        "hint: --batch 4",
    ]
    error = compiler._failure(44, log)
    assert error.messages() == [("train.batch: must be a multiple of 4 devices, got 6", "--batch 4")]


def test_a_crash_of_the_compiler_is_not_taken_for_a_fault_of_the_run():
    log = [
        "progress: compiling the train step",
        "*** SIGSEGV STACK OVERFLOW (see go/cppstackoverflow) received by PID 2584 ***",
    ]
    [(message, hint)] = compiler._failure(-11, log).messages()
    assert message == (
        "the TPU compiler crashed while compiling the train step: "
        "SIGSEGV STACK OVERFLOW (see go/cppstackoverflow)"
    )
    assert hint.startswith("a bug in this version of libtpu")
