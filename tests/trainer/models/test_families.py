"""What holds for a run of a network of every family: built in, or from a package of somebody else."""

import dataclasses
import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from models.families import FAMILIES, Family
from models.family_programs import run
from pages import Page
from train_runs import COMPILED, losses

from trainer import cli
from trainer.weights import torch_import, torch_names
from trainer.weights.file import load
from trainer.weights.inference import build_network

families = pytest.mark.parametrize("family", FAMILIES, ids=str)
SETTINGS = ["train.eval_every_epochs=0", "checkpoint.every_steps=3", "checkpoint.keep=3", "log.every_steps=1"]
SETTINGS += ["log.wandb=off", "optim.schedule=constant", f"train.compile_cache={COMPILED}"]


def train(family: Family, run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = [*SETTINGS, *(f"{name}={value}" for name, value in family.settings.items())]
    sets = [part for setting in settings for part in ("--set", setting)]
    flags = ["--arch", family.arch, "--data", family.data, "--batch", "32", "--steps", "6", *sets]
    return run("trainer", "--run-dir", str(run_dir), *flags, *arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains a family once and returns its run directory."""
    done: dict[str, Path] = {}

    def run_of(family: Family) -> Path:
        if family.arch not in done:
            done[family.arch] = tmp_path_factory.mktemp(str(family))
            result = train(family, done[family.arch])
            assert result.returncode == 0, result.stderr
        return done[family.arch]

    return run_of


def arrays(run_dir: Path) -> list[np.ndarray]:
    path = run_dir / "checkpoints" / "6" / "state"
    with ocp.StandardCheckpointer() as checkpointer:
        saved = checkpointer.metadata(path).item_metadata.tree
        here = jax.tree.map(lambda m: np.empty(m.shape, m.dtype), saved)
        return jax.tree.leaves(checkpointer.restore(path, here))


@pytest.mark.slow
@families
def test_a_resumed_run_ends_bit_for_bit_alike(trained, tmp_path, family):
    whole, resumed = trained(family), tmp_path / "resumed"
    shutil.copytree(whole, resumed)
    shutil.rmtree(resumed / "checkpoints" / "6")
    result = train(family, resumed)
    assert result.returncode == 0, result.stderr
    assert "name=restore" in result.stdout
    assert losses(resumed) == losses(whole)
    pairs = list(zip(arrays(resumed), arrays(whole), strict=True))
    assert len(pairs) > 8
    assert all(a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES[1:2], ids=str)
def test_the_run_is_resumed_with_no_other_network(trained, tmp_path, family):
    shutil.copytree(trained(family), tmp_path / "other")
    other = next(each for each in FAMILIES if each.arch != family.arch)
    result = train(dataclasses.replace(other, data=family.data), tmp_path / "other")
    assert result.returncode == 44
    assert f"holds a run with model.arch '{family.arch}', got '{other.arch}'" in result.stderr


@pytest.mark.slow
@families
def test_the_verbs_use_the_run_and_its_exports(trained, tmp_path, family, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    run_dir, weights_file, onnx_file = trained(family), tmp_path / "w.safetensors", tmp_path / "w.onnx"
    config = json.loads((run_dir / "config.json").read_text())
    assert (config["model"]["arch"], config["data"]["name"]) == (family.arch, family.data)

    assert cli.main(["export", str(run_dir), str(weights_file), "--to", "safetensors"]) == 0
    assert cli.main(["export", str(run_dir), str(onnx_file), "--to", "onnx"]) == 0
    capsys.readouterr()
    for network in (run_dir, weights_file):
        assert cli.main(["evaluate", str(network), "--data", family.data]) == 0
    of_run, of_file = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert of_run == of_file
    [end] = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()][-1:]
    assert of_run["accuracy"] == pytest.approx(end["accuracy"], abs=1e-6)

    weights = load(weights_file)
    net, params, stats = build_network(weights)
    apply = jax.jit(functools.partial(net.apply, train=False))
    session = onnxruntime.InferenceSession(str(onnx_file))
    for count in (1, 5):
        shape = (count, weights.image_size, weights.image_size, len(weights.mean))
        images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        expected = apply(params, stats, images)[0]
        [logits] = session.run(None, {"images": images.transpose(0, 3, 1, 2)})
        assert np.abs(logits - expected).max() < 2e-6 * max(1.0, np.abs(expected).max())

    page = tmp_path / "report.html"
    arguments = ["report", str(run_dir), "--out", str(page), "--data", family.data, "--arch", family.arch]
    assert cli.main(arguments) == 0
    assert '<table class="confusion">' in page.read_text()


@pytest.mark.slow
@families
def test_the_page_shows_where_the_network_looked_or_it_is_one_error(trained, tmp_path, family, capsys):
    run_dir, page = trained(family), tmp_path / "looked.html"
    cv2.imwrite(str(tmp_path / "a.png"), np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    command = ["predict", str(run_dir), str(tmp_path / "a.png"), "--explain", "--out", str(page)]
    code = cli.main([*command, "--data", family.data])
    out, err = capsys.readouterr()
    if not family.sight:
        assert (code, out, page.exists()) == (2, "", False)
        assert f"error: --explain: {family.arch} must name a map of the image, or attention with" in err
        assert "Traceback" not in err
        return
    assert code == 0, err
    assert json.loads(out)["image"] == str(tmp_path / "a.png")
    shown = Page(page.read_text())
    assert ("h2", "Where the network looked: 1 picture") in shown.texts
    assert f"({family.sight})" in page.read_text()
    mistakes = min(24, int(re.search(r"checkpoint: (\d+) of", page.read_text())[1]))  # type: ignore[index]
    assert len(shown.loads) == 2 + 2 * mistakes  # each image, and where the network looked in it


@pytest.mark.slow
@families
def test_weights_go_to_other_libraries_and_come_back(trained, tmp_path, family, capsys):
    weights_file = tmp_path / "w.safetensors"
    assert cli.main(["export", str(trained(family)), str(weights_file), "--to", "safetensors"]) == 0
    weights = load(weights_file)
    for library in ("torchvision", "timm"):
        path = tmp_path / f"{library}.pth"
        code = cli.main(["export", str(weights_file), str(path), "--to", library])
        if library not in family.libraries:
            assert code == 2
            assert f"must be a library whose names {family.arch} has" in capsys.readouterr().err
            continue
        assert code == 0
        theirs = torch_names.layout(weights.model, library)
        if len(weights.mean) == len(theirs.mean):  # an import expects images as the library has them
            names, size = weights.class_names, weights.image_size
            again = torch_import.load_torch(path, weights.model, size, "", names, library).weights
            assert again.arrays.keys() == weights.arrays.keys()
            assert all(np.array_equal(again.arrays[n], a) for n, a in weights.arrays.items())
