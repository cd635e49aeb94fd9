"""The training step of every family is laid out for a TPU."""

import importlib.util
import json

import pytest
from models.families import FAMILIES
from models.family_programs import run


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_the_step_is_laid_out_for_a_tpu(family):
    slice = [
        "--topology",
        "v5e:2x2",
        "--host-bounds",
        "2x2x1",
        "--chip-config",
        "default",
        "--steps",
        "train",
    ]
    settings = {**family.settings, "data.image_size": family.image_size}
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    done = run("trainer.check", *slice, "--", "--arch", family.arch, "--batch", "32", *sets)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["train"]["fits"]
    assert result["train"]["memory"]["parameters"] == 4 * result["parameters"]
    assert result["train"]["collectives"]
