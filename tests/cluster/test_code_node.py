"""`--code` in real pods: no image of its own is needed, and a restart runs the same bytes or none."""

import json
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from pod_runs import TINY, Run
from testcluster import Cluster
from testcluster.objects import eventually

from launcher.code import archive

FEW = "--steps 8 --set log.every_steps=1 --set train.eval_every_epochs=0 --grace 10"
LONG = "--steps 100000 --set log.every_steps=1 --set train.eval_every_epochs=0 --grace 10"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Code that speaks as soon as any Python of the pod starts, and reads a file beside itself."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "words.txt").write_text("the code of the first edit runs")
    (folder / "sitecustomize.py").write_text(
        "import os, pathlib\n"
        "if 'RESNET_CODE' in os.environ:\n"
        "    print(pathlib.Path('words.txt').read_text(), os.access('/code', os.W_OK), flush=True)\n"
    )
    (folder / ".dockerignore").write_text("secret\n")
    (folder / "secret").write_text("not packed")
    return folder


@pytest.fixture(autouse=True)
def _emulator(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cluster.bucket.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cluster.bucket.url)


def test_by_a_configmap(cluster: Cluster, namespace: str, tree: Path) -> None:
    run = Run(cluster, namespace, "small", f"{TINY} {FEW} --run-dir /scratch/small --code {tree}")
    assert run.wait() == "Completed", run.report()
    logs = [run.log(pod) for pod in run.pods()]
    assert len(logs) == 2
    assert all("the code of the first edit runs False" in log for log in logs), run.report()
    [init] = run.pods()[0]["status"]["initContainerStatuses"]
    assert (init["name"], init["state"]["terminated"]["exitCode"]) == ("code", 0)


def test_by_the_bucket_the_same_bytes_run_after_a_restart_and_others_never(
    cluster: Cluster, namespace: str, tree: Path
) -> None:
    code = archive.pack(tree)
    run = Run(cluster, namespace, "kept", f"{TINY} {LONG} --code {tree}")
    run.reach("the code of the first edit runs")
    run.reach("step=2")
    (tree / "words.txt").write_text("the code of a later edit runs")
    run.evict(run.pod(0))
    run.reach("the code of the first edit runs", attempt=1)
    run.reach("step=", attempt=1)
    assert eventually(lambda: len(run.read("attempts.jsonl").splitlines()) == 2, 120), run.report()
    rows = [json.loads(line) for line in run.read("attempts.jsonl").splitlines()]
    assert [row["code"] for row in rows] == [{"commit": "", "digest": code.digest, "dirty": False}] * 2
    assert run.launch(f"suspend {run.name} --yes")[0] == 0
    name = urllib.parse.urlencode({"uploadType": "media", "name": f"kept/code/{code.digest}.tar.gz"})
    url = f"{cluster.bucket.url}/upload/storage/v1/b/{namespace}/o?{name}"
    request = urllib.request.Request(url, data=archive.pack(tree).archive)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20).close()
    assert run.launch(f"resume {run.name} --yes")[0] == 0
    assert run.wait() == "Failed", run.report()
    failed = run.status()["failed"]
    assert (failed["container"], failed["exit_code"]) == ("code", 44)
    assert f"must have the SHA-256 {code.digest}, got {archive.pack(tree).digest}" in failed["message"]
    assert run.status()["restarts"]["counted"] == 0
