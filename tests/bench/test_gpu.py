"""bench/gpu.py at a tiny size on a CPU, so that no minute of a GPU is spent on a typing error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import gpu  # noqa: E402
import gpu_parts  # noqa: E402
import gpu_table  # noqa: E402

from trainer.arguments import parse  # noqa: E402
from trainer.config import resolve  # noqa: E402


def every_part(sizes, folder):
    return gpu_parts.parts(sizes, str(folder / "no-python"), folder, False, str(folder))


def part(code, limit=60.0, **fields):
    return gpu_parts.Part(group="ours", name="a part", command=("-c", code), limit=limit, **fields)


def test_a_tiny_run_measures_skips_what_is_missing_and_writes_both_outputs(tmp_path):
    out = tmp_path / "gpu.json"
    flags = [
        "--tiny",
        "--parts",
        "ceilings",
        "check",
        "ours",
        "torch",
        "--torch-python",
        "/nonexistent/python",
    ]
    done = subprocess.run(
        [sys.executable, str(BENCH / "gpu.py"), *flags, "--out", str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    results = {result["part"]: result for result in json.loads(out.read_text())}
    assert not [name for name, result in results.items() if "failed" in result]
    assert results["copy and product"]["flops_per_second"] > 0
    ours = results["ours, ResNet-50, 4"]
    assert ours["images_per_second"] > 0
    assert ours["flops_per_image"] > 1e6
    assert ours["compiler_peak_bytes"] > 1e6
    assert results["check, ResNet-50, 4"]["train"]["peak"] > 1e6
    missing = "there is no Python at /nonexistent/python"
    assert results["torchvision eager, ResNet-50, 4"]["skipped"] == missing
    assert f"| skipped: {missing} |" in done.stdout
    assert done.stdout.splitlines()[0].startswith("cpu; 20")


def test_without_a_gpu_a_real_run_is_refused():
    done = subprocess.run(
        [sys.executable, str(BENCH / "gpu.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 2
    assert "JAX sees no GPU here; --tiny runs" in done.stderr


@pytest.mark.parametrize("sizes", [gpu_parts.REAL, gpu_parts.TINY])
def test_settings_of_every_part_are_settings_of_the_trainer(sizes, tmp_path):
    for each in every_part(sizes, tmp_path):
        if each.command[:2] == ("-m", "trainer"):
            assert parse(list(each.command[2:])).data.name == "fashion-mnist"
        elif each.command[0].endswith("gpu_ours.py"):
            spec = json.loads(each.command[1])
            chosen = {"model.arch": spec["arch"], "train.batch": spec["batch"], **spec["settings"]}
            assert resolve("bench", "/unused", "", chosen).model.arch == spec["arch"]


def test_a_part_that_hangs_ends_with_its_children_at_its_limit():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    assert gpu.measured(part(code, limit=1.0), sys.executable, 60.0) == {"skipped": "not done in 1 s"}


def test_a_part_that_fails_shows_its_last_line():
    result = gpu.measured(part("raise SystemExit('out of memory')"), sys.executable, 60.0)
    assert result["failed"] == "out of memory"


@pytest.mark.parametrize(
    ("fields", "seconds", "reason"), [({"missing": "no torch"}, 60.0, "no torch"), ({}, 3.0, "no time left")]
)
def test_a_part_that_cannot_run_is_skipped_with_the_reason(fields, seconds, reason):
    assert gpu.measured(part("1 / 0", **fields), sys.executable, seconds) == {"skipped": reason}


def test_the_table_compares_equal_shapes_and_counts_from_the_makers_peaks():
    shape = ("resnet", 224, 256)
    h100 = "NVIDIA H100 80GB HBM3"  # 989 TFLOP/s, 3.35 TB/s
    ours = {"images_per_second": 3000.0, "flops_per_image": 24.725e9, "bytes_per_image": 0.335e9}
    rows = [
        (part("", shape=shape), ours | {"device": h100, "compile_seconds": 30, "counted_peak_bytes": 2**31}),
        (part("", shape=shape, pytorch=True), {"images_per_second": 2500.0, "device": h100}),
        (part("", shape=("resnet", 224, 128), pytorch=True), {"images_per_second": 9999.0, "device": h100}),
    ]
    cells = gpu_table.row(*rows[0], rows)
    # 3000 / 2500; 3000 * 24.725e9 / 989e12; 3000 * 0.335e9 / 3.35e12
    assert (cells["of PyTorch"], cells["MFU"], cells["of bandwidth"]) == ("1.20", "7.5%", "30.0%")
    assert (cells["images/s"], cells["GiB, device"]) == ("3,000.0", "2.00")
