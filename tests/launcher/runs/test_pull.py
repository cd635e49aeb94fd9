"""`pull`: the run's directory is looked up on the cluster, and the trainer's program copies it."""

from pathlib import Path

import local_bucket
import pytest
from api_server import ApiServer, jobset
from commands_on_api import Commands

from launcher.cli.verbs.pull import is_address


def serving() -> ApiServer:
    runs = [jobset(name) for name in ("run", "volume")]
    for run, run_dir in zip(runs, ("gs://b/runs/run", "/runs/volume"), strict=True):
        run["metadata"]["annotations"]["resnet-launch/run-dir"] = run_dir
    return ApiServer(jobsets=runs)


def test_a_run_of_the_cluster_is_copied_from_its_bucket(
    on_api: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {"runs/run/config.json": b"{}", "runs/run/events.jsonl": b"", "runs/run/.lock": b"x"}
    with local_bucket.serving(objects) as address, serving() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        assert on_api(server, "pull run here").code == 0
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        ".pull.json",
        "config.json",
        "events.jsonl",
    ]


@pytest.mark.parametrize(
    ("line", "code", "error", "hint"),
    [
        ("pull rum here", 1, "error: no run 'rum' in namespace default", "hint: did you mean run?"),
        (
            "pull run here --checkpoint last",
            2,
            "error: checkpoint: must be best or newest, got 'last'",
            "",
        ),
        ("pull Run here", 2, "error: run: must be ", ""),
        (
            "pull volume here",
            1,
            "error: run 'volume' must be in a bucket to be copied",
            "hint: a directory of",
        ),
    ],
)
def test_what_cannot_be_copied_is_one_error(
    on_api: Commands, tmp_path: Path, line: str, code: int, error: str, hint: str
) -> None:
    with serving() as server:
        result = on_api(server, line)
    assert (result.code, result.out) == (code, [])
    assert result.err[0].startswith(error)
    assert any(hint in text for text in result.err)
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("run", "address"), [("gs://b/x", True), ("runs/x", True), (".", True), ("folder", True), ("x", False)]
)
def test_an_address_is_no_name(
    run: str, address: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert is_address(run) == address
