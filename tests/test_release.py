"""The steps of .github/workflows: what a release holds, what is refused, and what actionlint says."""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from testcluster.build import binary

from launcher.cli import main as launch

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / ".github" / "workflows"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def step(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "release.py"), *arguments, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


LOG = f"""# Changelog

## [Unreleased]

## [{VERSION}] - 2026-11-27
### Added
- First.

## [0.0.1]
- Old.
"""


def checkout(folder: Path) -> Path:
    """Return a folder with the files that state a version, and a CHANGELOG with a section for it."""
    folder.mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path in ROOT.glob("helm/*/Chart.yaml"):
        (folder / "helm" / path.parent.name).mkdir(parents=True)
        shutil.copy(path, folder / "helm" / path.parent.name)
    (folder / "CHANGELOG.md").write_text(LOG)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return checkout(tmp_path / "checkout")


def test_tag_version_charts_and_changelog_agree(root: Path) -> None:
    result = step("check", f"v{VERSION}", root=root)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("tag", "error"),
    [
        ("v9.9.9", f"error: pyproject.toml: must have version 9.9.9 of the tag v9.9.9, got {VERSION}"),
        (VERSION, f"error: tag: must be v and a version, such as v1.2.3, got '{VERSION}'"),
        ("release", "error: tag: must be v and a version, such as v1.2.3, got 'release'"),
    ],
)
def test_another_tag_is_refused(root: Path, tag: str, error: str) -> None:
    result = step("check", tag, root=root)
    assert (result.returncode, result.stdout) == (2, "")
    first, hint = result.stderr.splitlines()
    assert first == error
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    "log",
    ["# Changelog\n", "## [Unreleased]\n- New.\n", "## [{}]\n\n## [0.0.1]\n- Old.\n", "## [{}0]\n- Other.\n"],
)
def test_a_release_without_notes_is_refused(root: Path, log: str) -> None:
    (root / "CHANGELOG.md").write_text(log.replace("{}", VERSION))
    result = step("build", f"v{VERSION}", str(root / "dist"), root=root)
    assert result.returncode == 2
    assert f"CHANGELOG.md: must have a section with text for {VERSION}, got " in result.stderr
    assert not (root / "dist").exists()


def test_a_chart_of_another_version_is_refused(root: Path) -> None:
    path = root / "helm" / "resnet-train" / "Chart.yaml"
    path.write_text(path.read_text().replace(f"version: {VERSION}", "version: 7.0.0"))
    result = step("check", f"v{VERSION}", root=root)
    assert result.returncode == 2
    assert f"helm/resnet-train/Chart.yaml: must have version {VERSION}" in result.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `build` writes."""
    folder = tmp_path_factory.mktemp("release")
    built = step("build", f"v{VERSION}", str(folder / "dist"), root=checkout(folder / "checkout"))
    assert built.returncode == 0, built.stderr
    return folder / "dist"


def test_a_release_is_whole(dist: Path) -> None:
    names = {path.name for path in dist.iterdir()}
    packages = {f"resnet_launch-{VERSION}.tar.gz", f"resnet_launch-{VERSION}-py3-none-any.whl"}
    charts = {f"resnet-{kind}-{VERSION}.tgz" for kind in ("train", "platform")}
    assert names == packages | charts | {"notes.md", "SHA256SUMS"}
    assert (dist / "notes.md").read_text() == "### Added\n- First.\n"
    for line in (dist / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((dist / name).read_bytes()).hexdigest() == digest
    with tarfile.open(dist / f"resnet_launch-{VERSION}.tar.gz") as archive:
        members = set(archive.getnames())
    for name in ("Makefile", "constraints.txt", "tools/requirements.py", "tests/conftest.py", "examples"):
        assert any(member.startswith(f"resnet_launch-{VERSION}/{name}") for member in members), name
    with zipfile.ZipFile(dist / f"resnet_launch-{VERSION}-py3-none-any.whl") as wheel:
        roots = {name.partition("/")[0] for name in wheel.namelist()}
    assert roots == {"launcher", "trainer", f"resnet_launch-{VERSION}.dist-info"}


def test_a_disk_without_room_leaves_nothing(root: Path) -> None:
    result = step("build", f"v{VERSION}", "/proc/release/dist", root=root)
    assert result.returncode == 1
    assert result.stderr.startswith("error: the release was not built: ")
    assert len(result.stderr.splitlines()) == 1


def test_every_image_has_a_command_that_the_launcher_takes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = step("images", f"v{VERSION}", "registry.example/team/resnet-launch", "--dry-run", root=root)
    assert result.returncode == 0, result.stderr
    commands = [shlex.split(line)[1:] for line in result.stdout.splitlines()]
    tags = [command[-1].rpartition(":")[2] for command in commands]
    assert tags == [f"{VERSION}-{name}" for name in ("cpu", "cpu-arm64", "tpu", "gpu", "gpu-arm64")]
    for command in commands:
        assert launch([*command, "--help"]) == 0, command
    assert "--processor amd64|arm64" in capsys.readouterr().out


def test_charts_are_pushed_as_they_were_built(root: Path, dist: Path) -> None:
    place = ("oci://registry.example/charts", "--dry-run", "--dist")
    result = step("charts", f"v{VERSION}", *place, str(dist), root=root)
    assert result.stdout.splitlines() == [
        f"helm push {dist}/resnet-{kind}-{VERSION}.tgz oci://registry.example/charts"
        for kind in ("platform", "train")
    ]
    missing = step("charts", f"v{VERSION}", *place, str(root), root=root)
    assert (missing.returncode, missing.stdout) == (2, "")
    wrong = step("charts", f"v{VERSION}", "registry.example", "--dist", str(dist), root=root)
    assert "registry: must be oci://HOST/FOLDER, got 'registry.example'" in wrong.stderr
    none = step("images", f"v{VERSION}", "", root=root)
    assert "error: images: must name a registry, got none" in none.stderr


def test_a_command_that_fails_ends_the_release(root: Path, dist: Path) -> None:
    place = ("oci://127.0.0.1:9/charts", "--dist", str(dist))
    folder = root / "bin"
    folder.mkdir()
    (folder / "helm").write_text("#!/bin/sh\nexit 3\n")
    (folder / "helm").chmod(0o755)
    command = [sys.executable, str(ROOT / "tools" / "release.py"), "charts", f"v{VERSION}", *place]
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    result = subprocess.run(
        [*command, "--root", str(root)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 1, "the second chart is not pushed"
    assert (
        result.stderr
        == f"error: helm push {dist}/resnet-platform-{VERSION}.tgz failed; what was pushed before stays\n"
    )


def lines(workflow: str) -> list[str]:
    """Return every command of a workflow's steps."""
    document = yaml.safe_load((WORKFLOWS / workflow).read_text())
    steps = [step for job in document["jobs"].values() for step in job["steps"]]
    return [line.strip() for step in steps for line in step.get("run", "").splitlines()]


def test_the_steps_of_workflows_are_targets_and_scripts() -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
    commands = lines("ci.yml") + lines("release.yml")
    made = [command.rpartition("make ")[2] for command in commands if "make " in command]
    assert set(made) == {"lint", "types", "verify", "quick", "test", "setup", "sbom"}
    assert set(made) <= targets
    steps = [command.split()[2] for command in commands if "tools/release.py" in command]
    assert steps == ["build", "images", "charts"]
    matrix = yaml.safe_load((WORKFLOWS / "ci.yml").read_text())["jobs"]["quick"]["strategy"]["matrix"]
    assert matrix == {"python": ["3.11", "3.12", "3.13", "3.14"]}


@pytest.fixture(scope="module")
def actionlint() -> str:
    if not shutil.which("go"):
        pytest.skip("workflows are linted by actionlint, which needs Go 1.26 or newer on PATH to be built")
    return binary("actionlint")


def lint(actionlint: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    # Not by the shellcheck and pyflakes of this machine: the result is the same everywhere.
    command = [actionlint, "-no-color", "-shellcheck=", "-pyflakes=", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_workflows_pass_actionlint(actionlint: str) -> None:
    paths = sorted(WORKFLOWS.glob("*.yml"))
    assert {path.name for path in paths} >= {"ci.yml", "release.yml", "smoke.yml"}
    result = lint(actionlint, *paths)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("before", "after"),
    [("needs: build", "needs: nothing"), ("runs-on: ", "run-on: "), ("vars.RELEASE", "varz.RELEASE")],
)
def test_a_mistake_in_a_workflow_is_seen(actionlint: str, tmp_path: Path, before: str, after: str) -> None:
    text = (WORKFLOWS / "release.yml").read_text()
    assert before in text
    (tmp_path / "release.yml").write_text(text.replace(before, after))
    assert lint(actionlint, tmp_path / "release.yml").returncode == 1


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the built wheel with `train`, nothing of this checkout."""
    folder = tmp_path_factory.mktemp("installed")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], check=True)
    wheel = next(dist.glob("*.whl"))
    for name in (str(wheel), f"resnet-launch[train] @ {wheel.as_uri()}"):
        pins = [
            "--constraints",
            str(ROOT / "constraints.txt"),
            "--python",
            str(folder / "venv" / "bin" / "python"),
        ]
        done = subprocess.run([*uv, "pip", "install", "--quiet", *pins, name], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if name == str(wheel):
            rendered = program(folder / "venv" / "bin", "render", "--slice", "v4-32", "--arch", "resnet152")
            assert rendered.returncode == 0, rendered.stderr
            assert yaml.safe_load(rendered.stdout)["kind"] == "JobSet"
    return folder / "venv" / "bin"


def program(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {
        k: v for k, v in os.environ.items() if k not in hidden and not k.startswith(("RESNET_", "JAX_"))
    }
    command = [str(folder / "resnet-launch"), *arguments]
    return subprocess.run(
        command, env=environment, cwd=folder.parent, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_the_wheel_renders_and_trains_in_an_empty_environment(installed: Path) -> None:
    run = ["--slice", "cpu-1x1", "--arch", "resnet-tiny", "--data", "digits", "--steps", "3"]
    settings = ["--set", "model.width=8", "--set", f"train.compile_cache={os.environ['TEST_PROGRAMS']}"]
    trained = program(installed, "local", *run, *settings, "--run-dir", str(installed.parent / "run"))
    assert trained.returncode == 0, trained.stderr
    assert "after 3 steps" in trained.stderr
    assert (installed.parent / "run" / "config.json").is_file()
