"""What no restart can mend ends the run at once, with exit code 44."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.errors import ExitCode

REPOSITORY = Path(__file__).parents[2]
# Root may read everything, unless it lacks these capabilities.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
OLD_PYTHON = """
import runpy, sys
sys.version_info = (3, 9, 1)
runpy.run_module("trainer", run_name="__main__", alter_sys=True)
"""


def trainer(*arguments: str, python: tuple[str, ...] = ("-m", "trainer"), path: Path = REPOSITORY):
    """Run the trainer for one step, without the permissions of root; return exit code and stderr."""
    if UNPRIVILEGED and not shutil.which("setpriv"):
        pytest.skip("without setpriv root cannot give up its permissions")
    command = [
        *UNPRIVILEGED,
        sys.executable,
        "-P",
        *python,
        "--arch",
        "resnet-tiny",
        "--steps",
        "1",
        *arguments,
    ]
    environment = os.environ | {"PYTHONPATH": f"{path}", "JAX_PLATFORMS": "cpu"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    return ended.returncode, ended.stderr


def assert_hopeless(ended: tuple[int, str], *parts: str) -> None:
    code, log = ended
    assert code == ExitCode.FATAL, log
    error = log[log.rindex("error: ") :]
    for part in parts:
        assert part in error


def test_no_packages(tmp_path):
    ended = trainer("--run-dir", str(tmp_path), python=("-S", "-m", "trainer"))
    assert_hopeless(ended, "not completely installed", "No module named", "hint: ", "pip install '.[train]'")


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("optax", "raise ModuleNotFoundError(\"No module named 'optax'\", name='optax')"),
        ("orbax", "raise ImportError('libGL.so.1: cannot open shared object file')"),
        ("grain", "def ("),
    ],
)
def test_a_package_that_is_missing_or_broken(tmp_path, module, code):
    (tmp_path / f"{module}.py").write_text(f"{code}\n")
    assert_hopeless(
        trainer("--data", "digits", "--run-dir", str(tmp_path), path=tmp_path), "not completely installed"
    )


def test_an_old_python(tmp_path):
    ended = trainer("--run-dir", str(tmp_path), python=("-c", OLD_PYTHON))
    assert_hopeless(ended, "needs Python 3.11 or newer, got 3.9.1")


def test_an_unreadable_data_root(tmp_path):
    data = tmp_path / "data"
    (data / "a").mkdir(parents=True)
    data.chmod(0o111)  # a name in it can be used by who knows it, and its names cannot be listed
    assert_hopeless(trainer("--data", str(data), "--run-dir", str(tmp_path / "run")), str(data))


def test_missing_data(tmp_path):
    ended = trainer("--data", f"{tmp_path}/none", "--run-dir", f"{tmp_path}/run")
    assert_hopeless(ended, f"{tmp_path}/none")


@pytest.mark.parametrize("place", ["closed/run", "file/run"])
def test_a_run_directory_that_cannot_be_written(tmp_path, place):
    (tmp_path / "closed").mkdir(mode=0o555)
    (tmp_path / "file").touch()
    assert_hopeless(trainer("--data", "digits", "--run-dir", str(tmp_path / place)), str(tmp_path / place))
