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


def check(*arguments):
    command = [sys.executable, "-m", "trainer.check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def laid_out(topology, bounds, *flags, batch, chip_config="default"):
    slice = ["--topology", topology, "--host-bounds", bounds, "--chip-config", chip_config]
    done = check(*slice, *flags, "--", *TINY, "--batch", str(batch))
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


# tpu7x has two devices per chip. The smallest v4 and v5p slices are a host of four chips.
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
    result = laid_out(topology, bounds, "--steps", "train", batch=8, chip_config=chip_config)
    train = result["train"]
    assert (result["device_kind"], result["devices"]) == (kind, devices)
    assert train["fits"]
    assert train["flops"] > 1e6
    # Parameters and momentum are read and written; the other arrays of this network fit in VMEM.
    assert train["bytes"] > 4 * train["memory"]["parameters"]
    assert "program" not in train["memory"]
    # SGD keeps one array per parameter and one step count.
    assert train["memory"]["parameters"] == 4 * result["parameters"]
    assert train["memory"]["optimizer"] == train["memory"]["parameters"] + 4
    assert bool(train["collectives"]) == (devices > 1)


@pytest.mark.slow
@needs_compiler
def test_a_full_compilation_gives_the_same_costs_as_the_layout():
    early = laid_out("v5e:1x1", "1x1x1", "--steps", "train", batch=8)["train"]
    result = laid_out("v5e:1x1", "1x1x1", "--steps", "train", "--code", batch=8)
    train = result["train"]
    assert result["code"]
    code = train["memory"].pop("program")
    assert train["peak"] == early["peak"] + code > early["peak"]
    for key in ("memory", "flops", "bytes", "collectives"):
        assert train[key] == early[key], key


@pytest.mark.slow
@needs_compiler
def test_gradients_of_parts_cross_between_slices_once():
    def crossing(parts):
        flags = ("--set", f"train.accumulate={parts}", "--set", "model.bn_group=1")
        slices = ("--topology", "v5e:2x4", "--host-bounds", "2x2x1", "--slices", "2", "--steps", "train")
        done = check(*slices, "--", *TINY, "--set", "model.width=64", "--batch", str(16 * parts), *flags)
        result = json.loads(done.stdout)
        [row] = [row for row in result["train"]["collectives"] if row["network"] == "dcn"]
        return row, result["parameters"]

    (once, parameters), (fourfold, _) = crossing(1), crossing(4)
    assert fourfold["rounds"] == once["rounds"] == 1
    # Eight devices of a slice share the kernels, which are summed in bfloat16; the rest is whole, in float32.
    assert parameters * 2 / 8 < fourfold["bytes"] < once["bytes"] * 1.1


@pytest.mark.slow
@needs_compiler
def test_gradients_are_reduced_over_the_chips_in_the_dtype_of_the_setting():
    def summed(grad_dtype):
        flags = ("--topology", "v5e:2x2", "--host-bounds", "2x2x1", "--steps", "train", "--", *TINY)
        done = check(*flags, "--batch", "8", "--set", f"model.grad_dtype={grad_dtype}")
        [row] = json.loads(done.stdout)["train"]["collectives"]
        return row["bytes"]

    _, init = network.build(ModelConfig(arch="resnet-tiny", width=8), 1000, 3, 16, "tpu")
    shapes = jax.eval_shape(init, jax.random.key(0))[0]
    kernels = sum(array.size for name, array in shapes.items() if name.endswith("conv.kernel"))
    assert kernels > 4000
    assert summed("float32") - summed("auto") == 2 * kernels


@needs_compiler
def test_evaluation_is_laid_out_for_two_slices_over_the_data_centre_network():
    result = laid_out("v5e:2x4", "2x2x1", "--slices", "2", "--steps", "eval", batch=16)
    assert result["devices"] == 16
    # Only three sums cross between slices: loss, correct predictions and examples.
    [row] = [row for row in result["eval"]["collectives"] if row["network"] == "dcn"]
    assert row["number"] <= 3
    # 50,000 test images / batches of 16 = 3,125 steps, once, at the end of the recipe's 100 steps.
    assert result["evaluations"] == 3125


@needs_compiler
def test_a_batch_that_does_not_fit_reports_the_memory_it_needs():
    slice = ["--topology", "v5e:1x1", "--host-bounds", "1x1x1", "--steps", "eval"]
    done = check(*slice, "--", *TINY, "--batch", str(2**25))
    assert done.returncode == 0, done.stderr[-2000:]
    step = json.loads(done.stdout)["eval"]
    assert not step["fits"]
    assert step["peak"] > step["limit"] > 15e9  # 16 GB, less what the runtime reserves


@needs_compiler
def test_an_unknown_generation_is_refused():
    done = check("--topology", "v9:2x2", "--host-bounds", "2x2x1", "--", *TINY)
    assert done.returncode == 44
    assert done.stderr.splitlines()[-1].startswith("error: libtpu ")
    assert "cannot compile for v9:2x2: " in done.stderr


@needs_compiler
def test_a_batch_that_does_not_divide_over_the_devices_is_refused():
    done = check("--topology", "v5e:2x2", "--host-bounds", "2x2x1", "--", *TINY, "--batch", "6")
    assert done.returncode == 44
    assert "error: train.batch: must be a multiple of 4 devices, got 6" in done.stderr
