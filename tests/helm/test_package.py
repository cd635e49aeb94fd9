"""The charts as packages, and the base for Kustomize."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import HELM, TRAIN, Helm

from launcher import TrainingJob, render
from launcher.cli import main

PACKAGER = HELM.parent / "tools" / "package_charts.py"


def packages(folder: Path) -> dict[str, bytes]:
    subprocess.run([sys.executable, str(PACKAGER), str(folder)], check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_packages_are_the_same_bytes_each_time(helm: Helm, tmp_path: Path) -> None:
    first = packages(tmp_path / "first")
    os.utime(TRAIN / "Chart.yaml")
    assert packages(tmp_path / "second") == first
    path = tmp_path / "first" / "resnet-train-0.1.0.tgz"
    values = ["--set", "slice=v4-32,arch=resnet152"]
    assert (
        helm("template", "a", str(path), *values).objects
        == helm("template", "a", str(TRAIN), *values).objects
    )


def test_the_release_fits_into_its_secret() -> None:
    """Helm stores the chart with each release, in a Secret of at most 1 MiB."""
    files = [path for path in TRAIN.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400_000


def render_base(arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(
        ["render", "--slice", "gb200-72", "--arch", "resnet50", "--bucket", "b-1", *arguments.split()]
    )
    out, err = capsys.readouterr()
    return code, out, err


def test_a_base_for_kustomize(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert render_base("--format kustomize base", capsys)[:2] == (0, "")
    assert sorted(os.listdir("base")) == ["kustomization.yaml", "resnet50-gb200-72.yaml"]
    if not shutil.which("kubectl"):
        pytest.skip("kustomize is read by kubectl, which is not on PATH")
    built = subprocess.run(["kubectl", "kustomize", "base"], capture_output=True, text=True, check=True)
    objects: list[Any] = list(yaml.load_all(built.stdout, yaml.CSafeLoader))
    expected = render(TrainingJob(slice="gb200-72", arch="resnet50", bucket="b-1"))
    assert sorted(objects, key=lambda o: o["kind"]) == json.loads(json.dumps(expected))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("--format helm", "error: format: must be jobset, helm-values, kustomize, got 'helm'"),
        ("--format kustomize", "error: DIR: must be given with --format kustomize"),
        (
            "--format helm-values base",
            "error: DIR: must be left out unless --format is kustomize, got 'base'",
        ),
        (
            "--format helm-values --explain",
            "error: explain: must be used with --format jobset, got helm-values",
        ),
        (
            "--format helm-values --platform local",
            "error: platform: must be gke or generic for a chart, got 'local'",
        ),
    ],
)
def test_a_format_that_is_not_meant(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    error: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = render_base(arguments, capsys)
    assert (code, out) == (2, "")
    assert error in err.splitlines()


def test_a_directory_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    code, out, err = render_base("--format kustomize file", capsys)
    assert (code, out) == (1, "")
    assert "error: cannot write file: File exists" in err.splitlines()
