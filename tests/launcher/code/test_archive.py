"""The same files give the same archive, and a pod's init container gets them back."""

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import TrainingJob, render
from launcher.code import archive
from launcher.code.selection import Entry
from launcher.errors import RequestError
from launcher.request import packed_code

ENTRIES = [
    Entry(path="a.py", content=b"print(1)\n"),
    Entry(path="d/link", target="../a.py"),
    Entry(path="d/run.sh", content=b"#!/bin/sh\n", executable=True),
]
BASE = {"slice": "cpu-2x1", "arch": "resnet18"}


def tree(folder: Path, *, mode: int = 0o644, mtime: int = 0) -> Path:
    for entry in ENTRIES:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.target:
            path.symlink_to(entry.target)
        else:
            path.write_bytes(entry.content)
            path.chmod(0o700 if entry.executable else mode)
            os.utime(path, (mtime, mtime))
    return folder


def test_the_bytes_of_an_archive_are_these() -> None:
    """A change here renames the archive of every user: nothing else may move the digest."""
    assert (
        hashlib.sha256(archive.tar(ENTRIES)).hexdigest()
        == "c469df09bab85cc9eeea69b9cfc570857e1e68b76a28220eb38bac8ccc79a7ca"
    )
    data = archive.gzip(b"text")
    assert data[:10].hex() == "1f8b08000000000002ff"
    assert gzip.decompress(data) == b"text"


def test_times_modes_owners_and_the_order_on_disk_leave_no_trace(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", mode=0o600, mtime=1)
    two = tree(tmp_path / "two", mode=0o666, mtime=10**9)
    if os.getuid() == 0:
        os.chown(two / "a.py", 12345, 12345)
    assert archive.pack(one).digest == archive.pack(two).digest
    (two / "d" / "run.sh").chmod(0o600)
    assert archive.pack(one).digest != archive.pack(two).digest


def test_the_init_container_gets_the_files_back(tmp_path: Path) -> None:
    code = archive.pack(tree(tmp_path / "tree"))
    file, target = tmp_path / "code.tar.gz", tmp_path / "target"
    file.write_bytes(code.archive)
    command = [sys.executable, "-m", "trainer.code", str(file), str(target), code.digest]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"code: 3 files in {target} after ")
    assert archive.pack(target).digest == code.digest
    assert os.readlink(target / "d" / "link") == "../a.py"


def test_the_init_container_imports_no_jax(tmp_path: Path) -> None:
    code = archive.pack(tree(tmp_path / "tree"))
    (tmp_path / "code.tar.gz").write_bytes(code.archive)
    program = "import sys; from trainer.code.__main__ import main; main(sys.argv[1:]); print(*sys.modules)"
    command = [sys.executable, "-c", program, str(tmp_path / "code.tar.gz"), str(tmp_path / "t"), code.digest]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"jax", "numpy", "flax", "etils", "google.cloud.storage"} & {*done.stdout.split()}


@pytest.mark.parametrize("name", ["trainer.py", "trainer/__init__.py"])
def test_a_trainer_of_another_project_does_not_run_in_place_of_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(RequestError, match="code: must have no module of its own called trainer"):
        TrainingJob(**BASE, bucket="b-1", code=archive.pack(tmp_path))


def test_a_copy_of_this_project_runs_its_own_trainer() -> None:
    code = archive.pack(Path(__file__).parents[3])
    assert not code.shadows
    assert "the trainer of the code runs in place of the image's" in code.notes


def test_what_a_configmap_cannot_hold_is_refused_and_its_largest_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "noise.bin").write_bytes(os.urandom(1_000_000))
    (tmp_path / "a.py").touch()
    code = archive.pack(tmp_path)
    with pytest.raises(RequestError) as caught:
        TrainingJob(**BASE, code=code)
    [problem] = caught.value.problems
    assert problem.message.startswith(
        "must pack to at most 900 kB without a bucket, got 1000 kB; the largest"
    )
    assert "noise.bin (1.0 MB), a.py (0 bytes)" in problem.message
    assert problem.hint == "--bucket BUCKET keeps it there"
    assert TrainingJob(**BASE, bucket="b-1", code=code).code is code


def test_the_pods_are_given_the_digest_and_the_commit() -> None:
    code = packed_code.PackedCode(digest="ab" * 32, commit="1" * 40, dirty=True)
    [jobset] = render(TrainingJob(**BASE, bucket="b-1", code=code))
    assert jobset["metadata"]["annotations"]["resnet-launch/code"] == f"sha256:{'ab' * 32}"
    assert jobset["metadata"]["annotations"]["resnet-launch/commit"] == f"{'1' * 40}-dirty"
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    url = f"gs://b-1/resnet18-cpu-2x1/code/{'ab' * 32}.tar.gz"
    assert pod["initContainers"][0]["command"][2:] == ["trainer.code", url, "/code", "ab" * 32]
    assert pod["containers"][0]["workingDir"] == "/code"
    mounts = {mount["name"]: mount.get("readOnly") for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["code"] is True


def test_the_init_container_has_the_variables_of_the_request_and_no_accelerator() -> None:
    fields = {"slice": "v4-32", "arch": "resnet18", "bucket": "b-1", "memory": "8Gi"}
    job = TrainingJob(**fields, code={"digest": "0" * 64}, env=["HTTPS_PROXY=p", "PYTHONPATH=/x"])
    pod = render(job)[0]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    [init] = pod["initContainers"]
    assert {entry["name"] for entry in init["env"]} == {"HOME", "PYTHONUNBUFFERED", "HTTPS_PROXY"}
    assert init["resources"] == {"requests": {"memory": "8Gi"}, "limits": {"memory": "8Gi"}}
    [path] = [entry["value"] for entry in pod["containers"][0]["env"] if entry["name"] == "PYTHONPATH"]
    assert path == "/code:/x:/opt/app"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"code": "."}, "code: must be a directory, or packed code, got '.'"),
        ({"code": {"digest": "AB" * 32}}, "code: must have a SHA-256 of 64 hexadecimal digits as digest"),
        ({"code": {"digest": "0" * 64, "commit": "main"}}, "code: must have a commit of 40 or 64"),
        ({"code": {"digest": "0" * 64, "dirty": "no"}}, "code: must have true or false as dirty"),
        ({"code": {"digest": "0" * 64, "archive": "?"}}, "code: must have an archive in base64"),
        ({"code": {"digest": "0" * 64, "archive": "aaaa"}}, "code: must have an archive whose SHA-256"),
        ({"code": {"digest": "0" * 64, "size": 1}}, "code: must be a directory, or packed code"),
        ({"code": {"digest": "0" * 64}, "bucket": None}, "code: must have its archive where the run"),
        ({"code": {"digest": "0" * 64}, "mount": "ssd:/code"}, "mount: must not mount at /code, where"),
        ({"code": {"digest": "0" * 64}, "mount": "ssd:/code/x"}, "mount: must not mount at /code/x"),
        (
            {"code": {"digest": "0" * 64}, "secret_env": "PYTHONPATH=a/b"},
            "secret-env: must not set PYTHONPATH",
        ),
    ],
)
def test_requests_that_contradict_the_code(fields: dict, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        TrainingJob(**{**BASE, "bucket": "b-1", **fields})
    assert str(caught.value).startswith(message)


def test_mounts_beside_the_code_are_allowed() -> None:
    for path in ("/codes", "/data/code"):
        TrainingJob(**BASE, bucket="b-1", mount=f"ssd:{path}", code={"digest": "0" * 64})
