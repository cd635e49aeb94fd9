"""`resnet-launch init` without a cluster: questions on a terminal, flags without one, the file it writes."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from launcher.request import sources

COMMAND = [sys.executable, "-m", "launcher", "init"]
ALL = "--slice v5e-16 --bucket b-1 --registry localhost:1/a --namespace n --queue q --service-account s"
# No credentials, so the bucket is not asked; no context.
NOWHERE = {
    "KUBECONFIG": "/nonexistent",
    "HOME": "/nonexistent",
    "NO_GCE_CHECK": "true",
    "PATH": "/usr/bin:/bin",
}


def run(folder: Path, flags: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {**NOWHERE, **changes}
    return subprocess.run(
        [*COMMAND, *flags.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def typed(folder: Path, flags: str, *lines: str) -> tuple[int, str]:
    """Exit code and screen of the command on a pseudo-terminal; each line is typed when a question waits."""
    terminal, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    environment = {**NOWHERE, "TERM": "dumb"}
    process = subprocess.Popen([*COMMAND, *flags.split()], cwd=folder, env=environment, **streams)
    os.close(theirs)
    screen, pending, until = "", list(lines), time.monotonic() + 60
    shown = 0
    while time.monotonic() < until:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if ready:
            try:
                data = os.read(terminal, 4096)
            except OSError:  # the program has ended
                break
            screen += data.decode(errors="replace").replace("\r\n", "\n")
        elif pending and len(screen) > shown and screen.rstrip(" ").endswith(":"):
            shown = len(screen)
            os.write(terminal, f"{pending.pop(0)}\n".encode())
    code = process.wait(60)
    os.close(terminal)
    assert pending == [], screen
    return code, screen


def written(folder: Path) -> dict:
    """The file, read as the launcher reads it."""
    sources.file(folder / "resnet-launch.yaml")
    return yaml.safe_load((folder / "resnet-launch.yaml").read_text())


def test_the_questions_of_a_terminal_are_repeated_until_the_answer_can_be_used(tmp_path: Path) -> None:
    code, screen = typed(
        tmp_path, "", "v5e-17", "v5e-16", "My_Bucket", "gs://b-1/runs/", "", "vision", "", "trainer", "y"
    )
    assert code == 0, screen
    assert (
        "must be a Cloud Storage bucket such as my-bucket or gs://my-bucket/runs, got 'My_Bucket'" in screen
    )
    assert written(tmp_path) == {"bucket": "b-1/runs", "namespace": "vision", "service-account": "trainer"}
    assert "# queue:" in (tmp_path / "resnet-launch.yaml").read_text()
    assert "gcloud container node-pools create v5e-16" in screen


def test_no_is_an_answer(tmp_path: Path) -> None:
    code, screen = typed(tmp_path, f"{ALL} --slice cpu-1x1", "n")
    assert code == 1
    assert "nothing was done" in screen
    assert os.listdir(tmp_path) == []


def test_without_a_terminal_the_flags_that_lack_are_named(tmp_path: Path) -> None:
    done = run(tmp_path, "--bucket b-1 --namespace n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "error: yes: must be given where there is no terminal to ask on, or these: --slice SLICE "
        "--registry REGISTRY --queue NAME --service-account NAME",
        "hint: --yes leaves out what is not given",
    ]
    assert os.listdir(tmp_path) == []


def test_without_a_cluster_everything_is_missing(tmp_path: Path) -> None:
    done = run(tmp_path, ALL)
    assert done.returncode == 0, done.stderr
    comments = [line for line in done.stdout.splitlines() if line.startswith("# ")]
    assert comments == [
        "# a cluster, and a context for it",
        "# a node pool for v5e-16",
        "# JobSet",
        "# Kueue",
        "# the bucket, if there is none yet",
        "# the image, if it is not there yet, in a checkout",
        "# the namespace n",
        "# rights of the pods on the bucket",
        "# service account and queue, in a checkout",
    ]
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True).returncode == 0


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "resnet-launch.yaml"
    {"file": file.touch, "link": lambda: file.symlink_to("nowhere"), "folder": file.mkdir}[kind]()
    done = run(tmp_path, f"{ALL}")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: resnet-launch.yaml: must not exist yet, got {file}",
        "hint: --force replaces it",
    ]
    done = run(tmp_path, f"{ALL} --force")
    if kind == "folder":
        assert (done.returncode, f"cannot write {file}" in done.stderr) == (1, True)
    else:
        assert done.returncode == 0, done.stderr
        assert written(tmp_path)["bucket"] == "b-1"
        assert not file.is_symlink()
    assert os.listdir(tmp_path) == ["resnet-launch.yaml"]


def test_the_file_is_one_that_the_launcher_trusts_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert run(tmp_path, "--yes --bucket b-1 --slice cpu-1x1").returncode == 0
    finally:
        os.umask(before)
    assert (tmp_path / "resnet-launch.yaml").stat().st_mode & 0o777 == 0o644


def test_nothing_at_all_is_a_file_too(tmp_path: Path) -> None:
    assert run(tmp_path, "--yes").returncode == 0
    assert written(tmp_path) == {}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--bucket B", "bucket: must be a Cloud Storage bucket"),
        ("--registry https://r/a", "registry: must be a registry and a repository"),
        ("--registry r/a:1", "registry: must be a registry and a repository"),
        ("--registry r/A", "registry: must be a registry and a repository"),
        ("--namespace A_B", "namespace: must be"),
        ("--queue -q", "queue: must be"),
        ("--service-account a/b", "service-account: must be"),
        ("--slice v5e-17", "slice: must be"),
    ],
)
def test_wrong_flags(tmp_path: Path, flags: str, message: str) -> None:
    done = run(tmp_path, f"{flags} --yes")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}"), done.stderr
    assert os.listdir(tmp_path) == []


def test_all_wrong_flags_are_named_at_once(tmp_path: Path) -> None:
    done = run(tmp_path, "--bucket B --namespace A_B --slice x --yes")
    assert [line.split(":")[1] for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        " slice",
        " bucket",
        " namespace",
    ]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    if os.getuid() == 0 and sys.platform != "linux":
        pytest.skip("needs a folder that even root cannot write to")
    done = subprocess.run(
        [*COMMAND, "--yes"], cwd="/proc", env=NOWHERE, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: cannot write /proc/resnet-launch.yaml: ")


def test_without_a_service_account_the_rights_are_named_and_none_is_called_missing(tmp_path: Path) -> None:
    done = run(tmp_path, "--yes --bucket b-1 --namespace n")
    assert done.returncode == 0
    assert "error    service account" not in done.stderr
    warning = "warning  service account: none is named: pods run as default, which has no rights on gs://b-1"
    assert f"{warning}\n         hint: --service-account NAME adds their commands" in done.stderr
    assert "iam" not in done.stdout
    followed = run(tmp_path, "--yes --bucket b-1 --namespace n --force --service-account s")
    assert "gcloud iam service-accounts create s" in followed.stdout


def test_an_account_that_nobody_named_is_bound_to_no_google_account(tmp_path: Path) -> None:
    done = run(tmp_path, "--yes --bucket b-1 --queue q")
    assert "kueue.localQueue=q" in done.stdout
    assert "googleServiceAccount" not in done.stdout
    assert "service account" not in run(tmp_path, "--yes --queue q --force").stderr


def test_a_folder_that_is_gone_is_one_error(tmp_path: Path) -> None:
    leave = "import os, sys; os.rmdir(os.getcwd()); from launcher.cli import main"
    script = f"{leave}; sys.exit(main(['init', '--yes']))"
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=gone, env=NOWHERE, capture_output=True, text=True, timeout=60
    )
    reason = "No such file or directory"
    error = f"error: cannot write resnet-launch.yaml into the current folder: {reason}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", error)
