"""What version 0.1.0 left on disk, in the hands of this version.

`upgrade/` was written by 0.1.0 on CPUs:

    resnet-launch local --slice cpu-2x1 --arch resnet-tiny --data digits --batch 32 --steps 400 \
        --set model.width=8 --set checkpoint.every_steps=10 --set log.every_steps=1 # preempted.tar.gz
    resnet-launch local --slice cpu-1x1 …, 12 steps                    # finished.tar.gz
    resnet-train export finished weights.safetensors --to safetensors
    resnet-launch data pack flowers pack                               # pack.tar.gz
"""

import json
import tarfile
from pathlib import Path

import pytest
from train_runs import COMPILED, finish, losses, start

from trainer.cli import main
from trainer.data.__main__ import main as data_main

EARLIER = Path(__file__).parent / "upgrade"
SETTINGS = ["--arch", "resnet-tiny", "--data", "digits", "--batch", "32", "--steps", "30"]
SETTINGS += ["--set", "model.width=8", "--set", "checkpoint.every_steps=10", "--set", "log.every_steps=1"]
SETTINGS += ["--set", "log.wandb=off", "--set", f"train.compile_cache={COMPILED}"]
# Losses of 0.1.0 where it resumed the same run directory with the same command.
LOSSES = {27: 2.3001041412353516, 28: 2.3038690090179443, 29: 2.299280881881714, 30: 2.299941062927246}


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(EARLIER / f"{name}.tar.gz") as archive:
        archive.extractall(folder / name, filter="data")
    return folder / name


@pytest.mark.slow
def test_a_preempted_run_goes_on_with_the_losses_that_it_would_have_had(tmp_path):
    run_dir = unpacked("preempted", tmp_path)
    before = (run_dir / "metrics.jsonl").read_text()
    code, out, err = finish(start(run_dir, *SETTINGS))
    assert code == 0, err
    assert "name=restore" in out
    assert " was written by a version that kept no class names; " in err
    assert (run_dir / "metrics.jsonl").read_text().startswith(before)
    after = losses(run_dir)
    assert list(after) == [*range(1, 31)]
    assert {step: after[step] for step in LOSSES} == pytest.approx(LOSSES, rel=1e-5)


@pytest.mark.slow
def test_a_finished_run_is_reported_compared_and_used(tmp_path, capsys):
    run_dir, other = unpacked("finished", tmp_path), unpacked("preempted", tmp_path)
    assert main(["report", str(run_dir), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["state"], figures["step"], figures["best_step"]) == ("finished", 12, 12)
    assert main(["compare", str(run_dir), str(other)]) == 0
    assert "checkpoint.every_steps  6 " in capsys.readouterr().out
    assert main(["evaluate", str(run_dir), "--data", "digits"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["accuracy"], result["examples"]) == (pytest.approx(0.13333333333333333), 360)
    weights = EARLIER / "weights.safetensors"
    assert main(["evaluate", str(weights), "--data", "digits"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == result["accuracy"]


def test_a_pack_is_verified(tmp_path, capsys):
    pack = unpacked("pack", tmp_path)
    assert data_main(["verify", str(pack)]) == 0
    assert "bad: 0, suspect: 0, duplicates: 0" in capsys.readouterr().out
    assert data_main(["stats", str(pack)]) == 0
    assert "packed, 2 classes" in capsys.readouterr().out
