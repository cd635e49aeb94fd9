"""What `check` has kept: `submit` passes on its prediction, and a result of anything else is never used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer
from commands_on_api import Commands, Result

import trainer
from launcher import TrainingJob, render
from launcher.check import assessment, kept
from launcher.cli import main

SMALL: dict[str, Any] = {
    "arch": "resnet-tiny",
    "set": ("model.width=8", "data.image_size=16"),
    "data": "digits",
    "batch": 64,
}
FLAGS = "--arch resnet-tiny --set model.width=8 --set data.image_size=16 --data digits --batch 64 --name run"
FLAGS += " --bucket b-1 --image r.io/x:1"
PLACES = """
import json, os
from launcher.check import kept
print(json.dumps([str(path) for path in kept.places([["--steps", "train"]], os.environ)]))
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache after `check` of a TPU slice, which compiles, and of a GPU slice, which estimates."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_CACHE", str(folder))
        for slice_name in ("v5e-4", "h100-8"):
            assert main(["check", "--no-cluster", "--slice", slice_name, *FLAGS.split()]) == 0
    return folder


@pytest.fixture
def cache(checked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(checked, tmp_path / "cache")
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "check"


def submit(on_api: Commands, flags: str) -> tuple[Result, list[str]]:
    """Return what `submit` prints, and the command of the trainer in the JobSet that it has applied."""
    with ApiServer() as server:
        result = on_api(server, f"submit {FLAGS} {flags}")
        [jobset, *_] = [
            asked.body
            for asked in reversed(server.asked)
            if asked.method == "PATCH" and asked.plural == "jobsets"
        ]
    assert result.code == 0
    [group] = jobset["spec"]["replicatedJobs"]
    return result, group["template"]["spec"]["template"]["spec"]["containers"][0]["command"]


def command(**fields: Any) -> list[str]:
    own: dict[str, Any] = {"bucket": "b-1", "image": "r.io/x:1", "name": "run"}
    [group] = render(TrainingJob(**SMALL | own | fields))[-1]["spec"]["replicatedJobs"]
    return group["template"]["spec"]["template"]["spec"]["containers"][0]["command"]


@pytest.mark.slow
@pytest.mark.parametrize(("slice_name", "basis"), [("v5e-4", ""), ("h100-8", ", an estimate")])
def test_a_plain_submission_passes_on_what_check_has_predicted(on_api, cache, slice_name, basis):
    for path in cache.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    known = assessment.newest(TrainingJob(**SMALL, slice=slice_name))
    assert known
    assert known[1] == 1_700_000_000
    rate = assessment.rate_per_chip(known[0])
    result, used = submit(on_api, f"--slice {slice_name}")
    chips = int(slice_name.partition("-")[2])
    assert used == [*command(slice=slice_name), "--set", f"log.predicted={rate * chips:.1f}"]
    [line] = [line for line in result.err if line.startswith("predicted ")]
    assert line.startswith(f"predicted {rate:,.0f} images/s per chip, by the `check` of 2023-11-1")
    assert line.endswith(basis)
    assert ("estimate" in line) == bool(basis)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        ("--slice v5e-4 --epochs 7", {"slice": "v5e-4", "epochs": 7}),
        ("--slice v5e-8", {"slice": "v5e-8"}),
        ("--slice v5e-8 --num-slices 2", {"slice": "v5e-8", "num_slices": 2}),
        ("--slice h100-8 --set train.seed=3", {"slice": "h100-8", "set": (*SMALL["set"], "train.seed=3")}),
        ("--slice cpu-2x1", {"slice": "cpu-2x1"}),
    ],
)
def test_another_request_is_submitted_as_it_is(on_api, cache, flags, fields):
    result, used = submit(on_api, flags)
    assert used == command(**fields)
    assert "predicted" not in " ".join(result.err)


@pytest.mark.slow
def test_a_stated_prediction_counts_and_what_does_not_fit_is_warned_about(on_api, cache):
    result, used = submit(on_api, "--slice v5e-4 --set log.predicted=0")
    assert used == command(slice="v5e-4", set=(*SMALL["set"], "log.predicted=0"))
    for path in cache.iterdir():
        kept_result = json.loads(path.read_text())
        for step in {"train", "eval"} & kept_result.keys():
            kept_result[step] |= {"fits": False, "peak": 2**50}
        path.write_text(json.dumps(kept_result))
    for slice_name in ("v5e-4", "h100-8"):
        result, used = submit(on_api, f"--slice {slice_name}")
        assert used == command(slice=slice_name)
        [line] = [line for line in result.err if "does not fit" in line]
        assert line.startswith("warning: this does not fit the memory of a device, says the `check` of ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "other"),
    [("flops", "flop"), ("steps_per_epoch", 'steps_per_epoch": 0, "odd'), ("bytes", 'bytes": null, "odd')],
)
def test_a_result_that_was_changed_predicts_nothing(on_api, cache, key, other):
    for path in cache.iterdir():
        path.write_text(path.read_text().replace(f'"{key}"', f'"{other}"'))
    for slice_name in ("v5e-4", "h100-8"):
        assert submit(on_api, f"--slice {slice_name}")[1] == command(slice=slice_name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text(path.read_text()[:-9]),
        lambda path: path.chmod(0o666),
        lambda path: path.parent.chmod(0o777),
        lambda path: path.unlink(),
    ],
    ids=["half of it", "anybody's", "in anybody's folder", "gone"],
)
def test_half_a_result_and_one_of_anybody_predict_nothing(on_api, cache, damage):
    for path in [*cache.iterdir()]:
        damage(path)
    for slice_name in ("v5e-4", "h100-8"):
        assert submit(on_api, f"--slice {slice_name}")[1] == command(slice=slice_name)


def test_a_result_belongs_to_its_question_versions_code_and_variables(tmp_path: Path) -> None:
    """Other versions and another trainer are installed for a process of their own."""
    own = Path(trainer.__file__).parent
    shutil.copytree(own, tmp_path / "same" / "trainer", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(tmp_path / "same", tmp_path / "changed")
    with (tmp_path / "changed" / "trainer" / "learning" / "losses.py").open("a") as file:
        file.write("\n# another line\n")
    for name in ("jax", "libtpu", "flax"):
        metadata = tmp_path / name / f"{name}-99.0.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n")

    def place(folder: str = "", **variables: str) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
        paths = [str(tmp_path / folder)] if folder else []
        environ["PYTHONPATH"] = os.pathsep.join([*paths, str(own.parent)])
        done = subprocess.run(
            [sys.executable, "-P", "-c", PLACES],
            env=environ | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)[0]

    plain = place()
    assert place("same") == plain == place(JAX_PLATFORMS="cpu")
    others = [place(folder) for folder in ("changed", "jax", "libtpu", "flax")]
    others += [place(XLA_FLAGS="--a"), place(LIBTPU_INIT_ARGS="--a"), place(JAX_ENABLE_X64="1")]
    assert len({plain, *others}) == 8
    [first, second] = kept.places([["--steps", "train"], ["--steps", "eval"]], {})
    assert first != second
