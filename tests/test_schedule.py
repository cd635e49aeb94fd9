"""`make test` runs the tests in several processes: which tests stay together, and that all of it ends."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("xdist", reason="pytest-xdist is not installed")
TESTS = Path(__file__).parent
ASKS_FOR_A_NODE = {
    "cluster",
    "cpu_image",
    "kubeconfig",
    "undisturbed",
}  # fixtures of tests/cluster/conftest.py
NOTE = """
import os, time
from pathlib import Path

def note(name):
    with (Path(__file__).parents[{depth}] / "notes").open("a") as notes:
        notes.write(f"{{name}} {{os.getpid()}}\\n")
"""
PASSES = "def test_{name}():\n    note('{name}')\n    time.sleep(0.3)\n"
FAILS = "def test_{name}():\n    note('{name}')\n    assert 'this' == 'that'\n"
HANGS = "def test_{name}():\n    note('{name}')\n    time.sleep(600)\n"


def project(folder: Path, files: dict[str, str]) -> Path:
    """Write a project with our conftest.py; its tests are named after their file and note their process."""
    for path, body in files.items():
        file = folder / "tests" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        names = [f"{file.stem.removeprefix('test_')}_{number}" for number in range(4)]
        notes = NOTE.format(depth=path.count("/") + 1)
        file.write_text(notes + "\n".join(body.format(name=name) for name in names))
    shutil.copy(TESTS / "conftest.py", folder / "tests")
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--import-mode=importlib'\n")
    return folder


def start(folder: Path, tools: str = "compiled", processes: int = 3) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        str(processes),
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
    ]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {
        "TMPDIR": str(folder)
    }
    environment.pop("TEST_PROGRAMS", None)  # of the run that this test is a part of
    environment |= {"TEST_TOOLS": tools, "PYTHONPATH": str(TESTS.parent / "tools")}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True, **streams
    )


def notes(folder: Path) -> list[tuple[str, int]]:
    """Return (test, process) in the order in which the tests began."""
    if not (folder / "notes").exists():
        return []
    lines = (folder / "notes").read_text().splitlines()
    return [(name, int(process)) for name, process in (line.split() for line in lines)]


@pytest.mark.parametrize("tools", ["compiled", "missing"])
def test_tests_that_share_a_cluster_share_a_process(tmp_path: Path, tools: str) -> None:
    files = ["test_a.py", "trainer/test_b.py", "trainer/test_demo.py"]
    files += ["launcher/local/test_pods.py", "launcher/local/test_forks.py"]
    files += [f"cluster/test_{name}.py" for name in ("faults", "run", "submit", "check", "smoke")]
    (tmp_path / "test-programs-999999999-x").mkdir()  # no process has this id
    with start(project(tmp_path, dict.fromkeys(files, PASSES) | {"test_c.py": FAILS}), tools) as run:
        output, _ = run.communicate(timeout=120)
    assert run.returncode == 1
    assert list(tmp_path.glob("test-programs-*")) == []
    # One summary, with the tracebacks of all processes.
    assert re.search(r"=+ 4 failed, 40 passed in ", output)
    assert output.count(">       assert 'this' == 'that'") == 4
    assert "FAILED tests/test_c.py::test_c_0 - " in output
    seconds, processor = re.search(r"^ +([0-9.]+)s +([0-9.]+)s tests/test_a\.py$", output, re.M).groups()
    assert float(seconds) >= 1.2  # four tests that wait for 0.3 s
    assert float(processor) < 1
    began = notes(tmp_path)
    processes = dict(began)
    assert len(processes) == 44  # each test ran once
    by_file = {name.rpartition("_")[0]: process for name, process in began}
    assert all(process == by_file[name.rpartition("_")[0]] for name, process in began)
    assert by_file["faults"] == by_file["run"] == by_file["smoke"]
    assert by_file["submit"] == by_file["check"] != by_file["run"]
    assert by_file["pods"] == by_file["forks"]
    # Before any other test of that process, which may start JAX's threads.
    assert [name for name, process in began if process == by_file["pods"]][:8] == [
        *(f"{file}_{number}" for file in ("forks", "pods") for number in range(4))
    ]
    first, last = ({name for name, _ in part} for part in (began[:3], began[-8:]))
    if tools == "compiled":  # what takes long begins first
        assert first == {"faults_0", "check_0", "forks_0"}
    else:  # the cluster waits for its programs
        assert first == {"demo_0", "a_0", "forks_0"}
        assert {name.rpartition("_")[0] for name in last} <= {"faults", "run", "smoke", "check", "submit"}


@pytest.mark.parametrize(("number", "everyone"), [(signal.SIGINT, True), (signal.SIGKILL, False)])
def test_a_run_that_is_interrupted_leaves_nothing(tmp_path: Path, number: int, everyone: bool) -> None:
    """Ctrl-C reaches every process, a kill from outside only the first."""
    with start(project(tmp_path, dict.fromkeys(["test_a.py", "test_b.py", "test_c.py"], HANGS))) as run:
        until = time.monotonic() + 60
        while len(notes(tmp_path)) < 3:
            assert time.monotonic() < until
            time.sleep(0.1)
        (os.killpg if everyone else os.kill)(run.pid, number)
        run.communicate(timeout=60)
    assert run.returncode != 0
    until = time.monotonic() + 60
    while alive := [process for _, process in notes(tmp_path) if runs(process)]:
        assert time.monotonic() < until, alive
        time.sleep(0.1)
    if number == signal.SIGINT:
        assert list(tmp_path.glob("test-programs-*")) == []


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_takes_minutes_begins_before_the_files_beside_it(tmp_path: Path) -> None:
    files = ["bench/test_a.py", "trainer/data/test_b.py", "trainer/models/test_families.py", "helm/test_c.py"]
    files += ["trainer/test_demo.py", "cluster/test_run.py"]
    with start(project(tmp_path, dict.fromkeys(files, PASSES)), processes=1) as run:
        output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    order = list(dict.fromkeys(name.rpartition("_")[0] for name, _ in notes(tmp_path)))
    assert order == ["run", "demo", "a", "families", "c", "b"]


@pytest.mark.parametrize("listed", ["LONG", "HEAVY"])
def test_the_files_that_have_a_place_exist(listed: str) -> None:
    assert [path for path in files_of(listed) if not (TESTS.parent / path).is_file()] == []


def files_of(listed: str) -> set[str]:
    """Return the value of a variable of conftest.py."""
    conftest = ast.parse((TESTS / "conftest.py").read_text())
    [files] = [
        ast.literal_eval(statement.value)
        for statement in conftest.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == listed
    ]
    return set(files)


@pytest.mark.parametrize(
    ("listed", "asked"), [("NODE", ASKS_FOR_A_NODE), ("DOCKER", {"docker"})], ids=["node", "docker"]
)
def test_the_files_that_share_a_machine_are_those_that_ask_for_it(listed: str, asked: set[str]) -> None:
    asking = {path.name for path in (TESTS / "cluster").glob("test_*.py") if fixtures(path) & asked}
    assert asking == files_of(listed)


def fixtures(path: Path) -> set[str]:
    """Return the names of the arguments of a file's tests and fixtures."""
    functions = [f for f in ast.parse(path.read_text()).body if isinstance(f, ast.FunctionDef)]
    asking = [
        f
        for f in functions
        if f.name.startswith("test_") or any("fixture" in ast.unparse(d) for d in f.decorator_list)
    ]
    return {argument.arg for function in asking for argument in function.args.args}
