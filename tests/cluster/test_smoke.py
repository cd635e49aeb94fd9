"""The smoke job that users run in CI, here on the test cluster or on the one that RESNET_KUBECONFIG names."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from testcluster import places

SCRIPT = places.REPOSITORY / "tests" / "smoke.sh"
WORKFLOW = places.REPOSITORY / ".github" / "workflows" / "smoke.yml"


def smoke(kubeconfig: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {"RESNET_KUBECONFIG": str(kubeconfig), "RESNET_LAUNCH": f"{sys.executable} -m launcher"}
    return subprocess.run(
        [str(SCRIPT), str(folder)],
        cwd=places.REPOSITORY,
        env=os.environ | known | environment,
        capture_output=True,
        text=True,
    )


def test_the_smoke_job_completes_and_leaves_its_logs(kubeconfig: Path, tmp_path: Path) -> None:
    done = smoke(kubeconfig, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["phase"], status["pods"]) == ("Completed", {"Succeeded": 2})
    logs = (tmp_path / "pods.log").read_text()
    assert re.search(r"slice-0-0 +\| event name=end .* step=100 accuracy=", logs), logs
    assert status["evaluation"]["accuracy"] > 0.7
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text())["kind"] == "JobSet"


def test_a_smoke_job_that_fails_fails_the_script_and_still_leaves_its_logs(
    kubeconfig: Path, tmp_path: Path
) -> None:
    done = smoke(kubeconfig, tmp_path, RESNET_FLAGS="--data fashion-mnist")  # the image has none
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error: data.root: " in (tmp_path / "pods.log").read_text()
    assert json.loads((tmp_path / "status.json").read_text())["phase"] == "Failed"


def test_a_smoke_job_that_learns_nothing_fails_the_script(kubeconfig: Path, tmp_path: Path) -> None:
    done = smoke(kubeconfig, tmp_path, RESNET_FLAGS="--steps 2")
    assert done.returncode == 1, done.stdout + done.stderr
    error, hint = done.stderr.splitlines()[-2:]
    assert re.fullmatch(r"error: smoke job: accuracy must be at least 0\.7, got 0\.[0-9]{3}", error)
    assert hint.startswith("hint: ")
    assert json.loads((tmp_path / "status.json").read_text())["phase"] == "Completed"
    assert (tmp_path / "pods.log").stat().st_size > 0


@pytest.mark.parametrize("bound", ["seven", "-1", "70", "0.7%", "1.5"])
def test_a_wrong_bound_is_refused_before_anything_is_submitted(tmp_path: Path, bound: str) -> None:
    done = smoke(tmp_path / "none", tmp_path / "logs", RESNET_ACCURACY=bound)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: RESNET_ACCURACY: must be a fraction from 0 to 1, got {bound}",
        "hint: RESNET_ACCURACY=0.7",
    ]
    assert not (tmp_path / "logs").exists()


def test_the_workflow_checks_out_and_runs_the_script() -> None:
    text = WORKFLOW.read_text()
    steps = yaml.safe_load(text)["jobs"]["smoke"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["pip install .", "tests/kind.sh smoke-logs"]
    assert [step["uses"].split("@")[0] for step in steps if "uses" in step] == [
        "actions/checkout",
        "actions/setup-python",
        "actions/upload-artifact",
    ]
    assert "What no test of this repository covers: " in text.splitlines()[1]
