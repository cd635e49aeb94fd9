"""`--code` against a real API server and a real bucket: kept once, never overwritten, nothing left behind."""

import base64
import json
import os
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from testcluster import Cluster
from testcluster.api import Object

from launcher.cli import main
from launcher.code import archive
from launcher.code import bucket as code_bucket
from launcher.errors import ActionError
from launcher.request.packed_code import PackedCode

RUN = "submit --slice cpu-2x1 --arch resnet18 --data digits --image r/i:1 --name run"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit and a changed file; the test runs outside it."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "mine.py").write_text("VALUE = 1\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)
    (folder / "mine.py").write_text("VALUE = 2\n")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def bucket(control_plane: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the test's own, which the launcher in this process uses too."""
    for name, value in control_plane.bucket.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", control_plane.bucket.url)
    return control_plane.bucket.create(namespace)


def call(cluster: Cluster, path: str, data: bytes | None = None, method: str | None = None) -> bytes:
    request = urllib.request.Request(f"{cluster.bucket.url}/{path}", data=data, method=method)
    with OPENER.open(request, timeout=20) as reply:
        return reply.read()


def objects(cluster: Cluster, bucket: str) -> dict[str, Any]:
    """The objects of a bucket: name -> its description."""
    name = bucket.removeprefix("gs://")
    listing = json.loads(call(cluster, f"storage/v1/b/{name}/o"))
    return {item["name"]: item for item in listing.get("items", [])}


def put(cluster: Cluster, bucket: str, name: str, data: bytes) -> None:
    query = urllib.parse.urlencode({"uploadType": "media", "name": name})
    call(cluster, f"upload/storage/v1/b/{bucket.removeprefix('gs://')}/o?{query}", data)


def named(cluster: Cluster, namespace: str, kind: str) -> list[Object]:
    paths = {"JobSet": "apis/jobset.x-k8s.io/v1alpha2", "ConfigMap": "api/v1"}
    items = cluster.api.request("GET", f"/{paths[kind]}/namespaces/{namespace}/{kind.lower()}s")["items"]
    return [item for item in items if item["metadata"]["name"] != "kube-root-ca.crt"]


def test_the_archive_is_kept_once_and_verified_ever_after(
    control_plane: Cluster, namespace: str, launch: Command, tree: Path, bucket: str
) -> None:
    code = archive.pack(tree)
    name = f"run/code/{code.digest}.tar.gz"
    assert launch(f"{RUN} --bucket {bucket} --code {tree}").code == 0
    stored = objects(control_plane, bucket)
    assert [*stored] == [name]
    assert stored[name]["metadata"] == {"commit": f"{code.commit}-dirty"}
    path = urllib.parse.quote(name, safe="")
    assert call(control_plane, f"storage/v1/b/{namespace}/o/{path}?alt=media") == code.archive
    generation = stored[name]["generation"]
    assert launch(f"{RUN} --bucket {bucket} --code {tree} --replace").code == 0
    assert objects(control_plane, bucket)[name]["generation"] == generation
    status = launch("status run")
    shown = f"  code          commit {code.commit[:12]} with uncommitted changes, sha256:{code.digest[:12]}"
    assert shown in status.out.splitlines()
    expected = {"digest": f"sha256:{code.digest}", "commit": code.commit, "dirty": True}
    assert launch("status run --json").json["code"] == expected
    assert (
        launch(
            "diff run "
            + RUN.removeprefix("submit ").replace("--name run", "")
            + f" --bucket {bucket} --code {tree}"
        ).code
        == 0
    )
    (tree / "mine.py").write_text("VALUE = 3\n")
    differing = launch(
        "diff run "
        + RUN.removeprefix("submit ").replace("--name run", "")
        + f" --bucket {bucket} --code {tree}"
    )
    assert differing.code == 1
    assert f"+    resnet-launch/code: sha256:{archive.pack(tree).digest}" in differing.out.splitlines()


def test_an_archive_that_somebody_changed_stops_the_submission(
    control_plane: Cluster, namespace: str, launch: Command, tree: Path, bucket: str
) -> None:
    name = f"run/code/{archive.pack(tree).digest}.tar.gz"
    for other in (b"short", archive.pack(tree).archive[:-1] + b"?"):
        put(control_plane, bucket, name, other)
        result = launch(f"{RUN} --bucket {bucket} --code {tree}")
        assert result.code == 1
        error = result.err.splitlines()[-2]
        assert error.startswith(
            f"error: {bucket}/{name} was changed: it has {len(other)} bytes with the MD5 "
        )
        assert error.endswith("; nothing was submitted")
        hint = f"hint: gcloud storage rm {bucket}/{name}, then the same command again"
        assert result.err.splitlines()[-1] == hint
        assert named(control_plane, namespace, "JobSet") == []
        path = urllib.parse.quote(name, safe="")
        assert call(control_plane, f"storage/v1/b/{namespace}/o/{path}?alt=media") == other


def test_a_refused_submission_leaves_nothing_in_the_bucket(
    control_plane: Cluster, namespace: str, launch: Command, tree: Path, bucket: str
) -> None:
    """The server's own refusals come before the upload; here another launcher takes the name after it."""
    keep, kept = code_bucket.keep, []

    def overtaken(code: PackedCode, run_dir: str) -> int | None:
        generation = keep(code, run_dir)
        kept.extend(objects(control_plane, bucket))
        assert launch(RUN).code == 0
        return generation

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(code_bucket, "keep", overtaken)
        result = launch(f"{RUN} --bucket {bucket} --code {tree}")
    assert result.code == 2
    assert "name: must be new, got 'run'" in result.err
    assert len(kept) == 1
    assert objects(control_plane, bucket) == {}

    def stays(code: PackedCode, run_dir: str, generation: int) -> None:
        raise ActionError("it could not be deleted: 403")

    assert launch("delete run --yes").code == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(code_bucket, "keep", overtaken)
        patched.setattr(code_bucket, "take_back", stays)
        result = launch(f"{RUN} --bucket {bucket} --code {tree}")
    [left] = objects(control_plane, bucket)
    assert f"warning: {bucket}/{left} is left behind: it could not be deleted: 403" in result.err.splitlines()
    assert "error: name: must be new, got 'run'" in result.err


def test_a_bucket_that_does_not_exist(
    control_plane: Cluster, namespace: str, launch: Command, tree: Path, bucket: str
) -> None:
    result = launch(f"{RUN} --bucket gs://nobody-s-bucket --code {tree}")
    assert result.code == 1
    assert result.err.splitlines()[-2].startswith(
        "error: the code was not kept in gs://nobody-s-bucket/run/code/"
    )
    assert result.err.splitlines()[-2].endswith("gs://nobody-s-bucket does not exist; nothing was submitted")
    assert named(control_plane, namespace, "JobSet") == []


def test_without_a_bucket_a_configmap_of_the_run_holds_the_archive(
    control_plane: Cluster, namespace: str, launch: Command, tree: Path
) -> None:
    code = archive.pack(tree)
    line = f"{RUN} --code {tree}"
    assert launch(line).code == 0
    for _ in range(2):
        [jobset] = named(control_plane, namespace, "JobSet")
        [stored] = named(control_plane, namespace, "ConfigMap")
        assert stored["metadata"]["name"] == f"run-code-{code.digest[:10]}"
        assert base64.b64decode(stored["binaryData"]["code.tar.gz"]) == code.archive
        [owner] = stored["metadata"]["ownerReferences"]
        assert owner["uid"] == jobset["metadata"]["uid"]
        again = launch(f"{line} --replace")
        assert again.code == 0, again.err
    assert launch("delete run --yes").code == 0
    assert named(control_plane, namespace, "ConfigMap") == []


def test_render_uploads_nothing_and_says_where_the_archive_belongs(
    control_plane: Cluster, namespace: str, launch: Command, tree: Path, bucket: str, tmp_path: Path
) -> None:
    file = tmp_path / "code.tar.gz"
    line = f"render --slice cpu-2x1 --arch resnet18 --name run --bucket {bucket} --code {tree}"
    assert main([*line.split(), "--save-code", str(file)]) == 0
    assert objects(control_plane, bucket) == {}
    assert file.read_bytes() == archive.pack(tree).archive
    assert sorted(os.listdir(tmp_path)) == [
        "code.tar.gz",
        "tree",
    ]
