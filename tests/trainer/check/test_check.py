"""The real TPU compiler on the smallest slice of every generation, on a machine without a TPU."""

import importlib.util
import json
import subprocess
import sys

import jax
import pytest

from trainer.config import ModelConfig
from trainer.models import network

TINY = ["--arch", "resnet-tiny", "--set", "model.width=8", "--set", "data.image_size=16"]
needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed: pip install '.[check]'"
)


def aot(*words):
    command = [sys.executable, "-m", "trainer.check", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def laid_out(topology, bounds, *words, batch, chip_config="default"):
    slice = ["--topology", topology, "--host-bounds", bounds, "--chip-config", chip_config]
    done = aot(*slice, *words, "--", *TINY, "--batch", str(batch))
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


# tpu7x has two devices a chip. v4 and v5p come no smaller than a host of four.
@needs_compiler
@pytest.mark.parametrize(
    ("topology", "bounds", "chip_config", "devices", "kind"),
    [
        ("v4:2x2x1", "2x2x1", "megacore", 4, "TPU v4"),
        ("v5e:1x1", "1x1x1", "default", 1, "TPU v5 lite"),
        ("v5:2x2x1", "2x2x1", "megacore", 4, "TPU v5"),
        ("v6e:1x1", "1x1x1", "default", 1, "TPU v6 lite"),
        ("tpu7x:1x1x1", "1x1x1", "default", 2, "TPU7x"),
    ],
)
def test_every_generation_is_laid_out(topology, bounds, chip_config, devices, kind):
    found = laid_out(topology, bounds, "--steps", "train", batch=8, chip_config=chip_config)
    train = found["train"]
    assert (found["device_kind"], found["devices"]) == (kind, devices)
    assert train["fits"]
    assert train["flops"] > 1e6
    # Parameters and momentum are read and written; what else there is of this network fits on the chip.
    assert train["bytes"] > 4 * train["memory"]["parameters"]
    assert "program" not in train["memory"]
    # SGD holds one array a parameter and one step count.
    assert train["memory"]["parameters"] == 4 * found["parameters"]
    assert train["memory"]["optimizer"] == train["memory"]["parameters"] + 4
    assert bool(train["collectives"]) == (devices > 1)


@pytest.mark.slow
@needs_compiler
def test_the_whole_compilation_says_the_same_as_the_layout():
    """The compiler's own FLOPs have the arithmetic between the convolutions in them."""
    early = laid_out("v5e:1x1", "1x1x1", "--steps", "train", batch=8)["train"]
    found = laid_out("v5e:1x1", "1x1x1", "--steps", "train", "--code", batch=8)
    train = found["train"]
    assert found["code"]
    code = train["memory"].pop("program")
    assert train["peak"] == early["peak"] + code > early["peak"]
    for key in ("memory", "flops", "bytes", "collectives"):
        assert train[key] == early[key], key


@pytest.mark.slow
@needs_compiler
def test_gradients_are_summed_over_the_chips_in_the_type_that_was_asked_for():
    def summed(grad_dtype):
        words = ("--topology", "v5e:2x2", "--host-bounds", "2x2x1", "--steps", "train", "--", *TINY)
        done = aot(*words, "--batch", "8", "--set", f"model.grad_dtype={grad_dtype}")
        found = json.loads(done.stdout)
        [row] = found["train"]["collectives"]
        return row["bytes"]

    _, init = network.build(ModelConfig(arch="resnet-tiny", width=8), 1000, 3, 16, "tpu")
    shapes = jax.eval_shape(init, jax.random.key(0))[0]
    kernels = sum(array.size for name, array in shapes.items() if name.endswith("conv.kernel"))
    assert kernels > 4000
    assert summed("float32") - summed("auto") == 2 * kernels


@needs_compiler
def test_evaluation_is_laid_out_for_two_slices_over_the_data_centre_network():
    found = laid_out("v5e:2x4", "2x2x1", "--slices", "2", "--steps", "eval", batch=16)
    assert found["devices"] == 16
    # Loss, hits and examples are three sums: what crosses is that and no more.
    [row] = [row for row in found["eval"]["collectives"] if row["network"] == "dcn"]
    assert row["number"] <= 3
    # 50,000 test images in batches of 16, once, at the end of the recipe's 100 steps.
    assert found["evaluations"] == 3125


@needs_compiler
def test_a_batch_that_is_too_large_says_how_much_it_needs():
    slice = ["--topology", "v5e:1x1", "--host-bounds", "1x1x1", "--steps", "eval"]
    done = aot(*slice, "--", *TINY, "--batch", str(2**25))
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)["eval"]
    assert not found["fits"]
    assert found["peak"] > found["limit"] > 15e9  # 16 GB, less what the runtime keeps


@needs_compiler
def test_a_generation_that_the_compiler_does_not_know():
    done = aot("--topology", "v9:2x2", "--host-bounds", "2x2x1", "--", *TINY)
    assert done.returncode == 44
    assert done.stderr.splitlines()[-1].startswith("error: libtpu ")
    assert "cannot compile for v9:2x2: " in done.stderr


@needs_compiler
def test_a_batch_that_does_not_divide():
    done = aot("--topology", "v5e:2x2", "--host-bounds", "2x2x1", "--", *TINY, "--batch", "6")
    assert done.returncode == 44
    assert "error: train.batch: must be a multiple of 4 devices, got 6" in done.stderr
