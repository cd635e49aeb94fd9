"""`resnet-launch check` from the command line to the trainer's process and back; results are cached."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launcher import TrainingJob
from launcher.check.assessment import Assessment, with_prediction
from launcher.cli import main

TINY = "--arch resnet-tiny --set model.width=8 --set data.image_size=16"


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))

    def check(line):
        code = main(["check", "--no-cluster", *line.split()])
        out, err = capsys.readouterr()
        return code, out, err

    return check


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_refused_with_the_largest_that_does(run, tmp_path):
    code, out, err = run(f"--slice v5e-1 {TINY} --batch 1048576 --estimate")
    error, hint = err.splitlines()[-2:]
    assert (code, out) == (2, "")
    assert error.startswith(
        "error: batch: must fit the 16.0 GiB of each device, got 1048576 (1048576 per device), "
    )
    assert re.search(r"which needs [0-9.]+ GiB$", error)
    largest = int(re.fullmatch(r"hint: --batch (\d+) is the largest that fits, \1 per device", hint)[1])
    code, out, _ = run(f"--slice v5e-1 {TINY} --batch {largest} --estimate --json")
    document = json.loads(out)
    assert (code, document["fits"]) == (0, True)
    # Nine tenths of the memory are in use: not any batch that fits, but about the largest.
    assert document["compiled"]["train"]["peak"] > 0.9 * 16 * 2**30
    again = f"--slice v5e-1 {TINY} --batch {largest} --estimate --json"
    _, out, err = run(again)
    assert json.loads(out)["compiled"]["cached"]
    assert "tracing" not in err
    folder = tmp_path / "cache" / "check"
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)  # anybody may have written the results
    _, out, _ = run(again)
    assert not json.loads(out)["compiled"]["cached"]


@pytest.mark.slow
def test_an_estimate_says_that_it_is_one_and_compares_slices(run):
    code, out, _ = run(f"--slice h100-8 {TINY} --batch 64 --price 2")
    assert code == 0
    assert "estimated from the run's traced operations, nothing was compiled" in out
    compare = f"--slice v4-8 {TINY} --batch 64 --estimate --compare v5e-4,h100-8,v4-8"
    code, out, err = run(f"{compare} --price v5e=1.2,v4=2")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert sorted(rows) == ["h100-8", "v4-8", "v5e-4"], "the run's slice is one of those compared"
    assert all(line.endswith("estimate") for line in rows.values())
    costs = {name: line.split()[-2] for name, line in rows.items()}
    assert costs["h100-8"] == "-"
    assert float(costs["v4-8"]) > float(costs["v5e-4"]) > 0
    assert err.count("no bucket is configured") == 1


@pytest.mark.slow
def test_data_of_the_pods_counts_as_imagenet_and_the_report_says_so(run):
    code, out, _ = run(f"--slice v4-8 {TINY} --estimate --data /mnt/not-on-this-machine --batch 1024")
    assert code == 0
    assert (
        "1,281,167 images are assumed, as in ImageNet-1k: /mnt/not-on-this-machine is not on this machine"
        in out.splitlines()
    )
    assert "epochs per day" not in out
    code, out, _ = run(f"--slice v4-8 {TINY} --estimate --data synthetic --batch 64")
    assert "epochs per day" in out
    code, out, _ = run("--slice v4-8 --arch resnet-tiny --estimate --batch 64")
    assert code == 0
    assert "epochs per day" not in out, "no dataset was named"
    code, _, err = run(f"--slice v4-8 {TINY} --estimate --data {Path(__file__).parent}")
    assert code == 1
    assert "must be an image folder, " in err


@pytest.mark.slow
def test_a_flag_is_named_that_avoids_waiting_for_other_slices_statistics(run):
    slices = f"--slice v5e-8 --num-slices 2 {TINY} --batch 1024"
    code, out, _ = run(slices)
    assert code == 0
    [over_dcn] = [line for line in out.splitlines() if "over DCN" in line]
    assert int(over_dcn.split(", ")[1].split()[0]) > 10  # twice a layer
    assert "--set model.bn_group=512 normalises within each slice" in out
    code, out, _ = run(f"{slices} --set model.bn_group=512")
    assert code == 0
    [over_dcn] = [line for line in out.splitlines() if "over DCN" in line]
    assert "one after another" not in over_dcn or int(over_dcn.split(", ")[1].split()[0]) < 4
    assert "bn_group" not in out


def test_a_wrong_setting_of_the_trainer_is_its_own_error(run):
    code, out, err = run("--slice v4-8 --arch resnet50 --data digits --set data.root=/nowhere --batch 6")
    assert (code, out) == (2, "")
    assert "error: batch: must be a multiple of the run's 4 devices, got 6" in err


@pytest.mark.parametrize(
    ("fields", "rate", "predicted"),
    [
        ({"slice": "v5e-16"}, 900.0, 14400.0),
        ({"slice": "v5e-16", "num_slices": 2}, 900.0, 28800.0),
        ({"slice": "v5e-16", "set": ["log.predicted=7"]}, 900.0, 7),
        ({"slice": "v5e-16"}, None, None),  # its speed is not known
    ],
)
def test_the_trainer_gets_what_was_predicted_for_all_devices(fields, rate, predicted):
    job = TrainingJob(arch="resnet50", data="gs://b-1/data", bucket="b-1", **fields)
    result: Any = {"train": {"fits": True}}
    prediction: Any = rate and SimpleNamespace(rate=SimpleNamespace(expected=rate))
    checked = with_prediction(job, Assessment(job=job, result=result, prediction=prediction))
    assert checked.requested.get("log.predicted") == predicted
