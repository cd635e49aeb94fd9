"""The smoke job that users run in CI, here on the test cluster or on the one that RESNET_KUBECONFIG names."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

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
    assert yaml.safe_load((tmp_path / "manifest.yaml").read_text())["kind"] == "JobSet"


def test_a_smoke_job_that_fails_fails_the_script_and_still_leaves_its_logs(
    kubeconfig: Path, tmp_path: Path
) -> None:
    done = smoke(kubeconfig, tmp_path, RESNET_FLAGS="--data fashion-mnist")  # the image has none
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error: data.root: " in (tmp_path / "pods.log").read_text()
    assert json.loads((tmp_path / "status.json").read_text())["phase"] == "Failed"


def test_the_workflow_installs_the_jobset_that_is_tested_here(tmp_path: Path) -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    module = (places.PACKAGE.parent / "go" / "jobset" / "go.mod").read_text()
    pinned = re.search(r"sigs.k8s.io/jobset (v[0-9.]+)", module)
    assert pinned
    assert workflow["env"]["JOBSET"] == pinned[1]
    steps = workflow["jobs"]["smoke"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step]
    assert "tests/smoke.sh smoke-logs" in scripts
    for script in scripts:  # nothing here runs GitHub's runner, so at least the shell must read them
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
