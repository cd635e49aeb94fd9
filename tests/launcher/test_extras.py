"""After `pip install .` alone, the verbs that need the trainer's packages say what installs them."""

import os
import site
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from launcher import extras
from launcher.errors import ActionError

REPOSITORY = Path(__file__).parents[2]
LAUNCHER_ONLY = ["click", "yaml", "kubernetes", "urllib3", "dateutil", "six.py", "certifi"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A folder with what the launcher imports and nothing of the trainer's packages, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("site")
    installed = Path(next(path for path in site.getsitepackages() if (Path(path) / "click").is_dir()))
    distributions = [metadata.distribution(name) for name in ("resnet-launch", "click", "PyYAML")]
    info = [Path(str(distribution._path)) for distribution in distributions]  # type: ignore[attr-defined]
    for source in [*(installed / name for name in [*LAUNCHER_ONLY, "_yaml"]), *info]:
        if source.exists():
            (folder / source.name).symlink_to(source)
    for package in ("launcher", "trainer"):
        (folder / package).symlink_to(REPOSITORY / package)
    return folder


def resnet_launch(bare, folder, *arguments):
    code = "import sys; from launcher.cli import main; sys.exit(main())"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(bare)}
    command = [sys.executable, "-S", "-P", "-c", code, *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout, ended.stderr.splitlines()


RUN = ["--slice", "cpu-2x1", "--arch", "resnet18", "--data", "digits"]


@pytest.mark.parametrize(
    ("arguments", "subject"),
    [
        (["local", *RUN], "`local`"),
        (["data", "stats", "digits"], "`data stats`"),
        (["check", "--no-cluster", *RUN], "`check`"),
    ],
)
def test_a_verb_asks_first_and_names_the_extra(bare, tmp_path, arguments, subject):
    code, out, err = resnet_launch(bare, tmp_path, *arguments)
    assert (code, out) == (1, "")
    assert err[-2].startswith(f"error: {subject} needs packages that are not installed here: array-record, ")
    assert err[-1] == f"hint: cd {REPOSITORY} && pip install '.[train]'"
    assert not any("Traceback" in line or "No module named" in line for line in err)
    assert not (tmp_path / "runs").exists()


def test_the_launcher_itself_needs_none_of_them(bare, tmp_path):
    code, out, _ = resnet_launch(bare, tmp_path, "render", *RUN)
    assert code == 0
    assert out.startswith("apiVersion:")


def test_what_is_installed_is_not_missing(monkeypatch):
    assert extras.missing("train") == extras.missing("check") == []
    monkeypatch.chdir(REPOSITORY)
    assert extras.install("check") == "pip install '.[check]'"


def test_every_extra_exists():
    assert {"train", "check", "onnx", "tensorboard"} <= set(
        metadata.metadata("resnet-launch").get_all("Provides-Extra")
    )


def test_a_long_list_is_cut(monkeypatch):
    monkeypatch.setattr(extras, "missing", lambda extra: list("abcdef"))
    with pytest.raises(ActionError, match="not installed here: a, b, c, d and 2 more"):
        extras.require("train", "`local`")
