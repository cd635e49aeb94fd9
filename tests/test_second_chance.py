"""Tests that failed beside others run once more, alone: what decides, and what is never repeated."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("xdist", reason="pytest-xdist is not installed")
TESTS = Path(__file__).parent
TOOLS = TESTS.parent / "tools"
OURS = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
# A test that fails in a run for the first time only, as one that needs a processor for itself.
BEGIN = """
import os, time
from pathlib import Path
import pytest

def first(name):
    with (Path(__file__).parents[{depth}] / "notes").open("a+") as notes:
        notes.seek(0)
        before = name in notes.read().split()
        notes.write(f"{{name}}\\n")
    return not before
"""
PASSES = "def test_passes(): first('passes')\n"
ONCE = "@pytest.mark.parametrize('n', {values})\ndef test_once(n): assert not first(f'once-{{n}}')\n"
ALWAYS = "def test_always(): assert first('always') is None\n"
TEARDOWN = """
@pytest.fixture
def closed():
    yield
    assert not first('teardown')

def test_teardown(closed): pass
"""
SETUP = """
@pytest.fixture
def opened():
    assert not first('setup')

def test_setup(opened): pass
"""
DIES = "def test_dies():\n    if first('dies'): os._exit(1)\n"
SKIPS = "def test_skips():\n    if first('skips'): assert False\n    pytest.skip('no processor')\n"
HANGS = "def test_hangs():\n    if first('hangs'): time.sleep(600)\n"
HANGS_ALONE = "def test_hangs():\n    assert not first('hangs')\n    time.sleep(600)\n"


def project(folder: Path, files: dict[str, str]) -> Path:
    """Write a project with our conftest.py."""
    for path, body in files.items():
        file = folder / "tests" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(BEGIN.format(depth=path.count("/") + 1) + body)
    shutil.copy(TESTS / "conftest.py", folder / "tests")
    settings = "[tool.pytest.ini_options]\naddopts = '--import-mode=importlib'\ntestpaths = ['tests']\n"
    settings += f"filterwarnings = {OURS['filterwarnings']}\n"
    (folder / "pyproject.toml").write_text(settings)
    return folder


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start the tool in a project whose cache cannot be written: a file is in the folder's place."""
    (folder / ".pytest_cache").touch()
    (folder / "tmp").mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment.pop("TEST_PROGRAMS", None)  # of the run that this test is a part of
    environment |= {"TMPDIR": str(folder / "tmp"), "TEST_TOOLS": "compiled", "PYTHONPATH": str(TOOLS)}
    command = [sys.executable, str(TOOLS / "second_chance.py"), *options, "-p", "no:hypothesispytest"]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, start_new_session=True, **streams
    )


def ended(folder: Path, *options: str) -> tuple[int, str]:
    with start(folder, *options) as run:
        output, _ = run.communicate(timeout=120)
    return run.returncode, output


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().split() if (folder / "notes").exists() else []


def runs_of_pytest(output: str) -> int:
    return len(re.findall("test session starts", output))


def verdicts(output: str) -> list[str]:
    """Return the lines after the last summary of pytest."""
    return re.split(r"=+ .* in [0-9.]+s.* =+\n", output)[-1].splitlines()


def test_what_failed_beside_others_and_passes_alone_is_named(tmp_path: Path) -> None:
    # Odd ids, a failed setup and teardown, and a test that ended its process: five, the most.
    odd = ONCE.format(values="['a#é', 'c::d[e]/f']")
    files = {
        "test_a.py": odd + PASSES,
        "trainer/test_b.py": SETUP + TEARDOWN,
        "launcher/local/test_c.py": DIES,
    }
    folder = project(tmp_path, files)
    code, output = ended(folder, "-n", "2", "--junitxml=report.xml")
    assert code == 0, output
    assert runs_of_pytest(output) == 2
    assert sorted(verdicts(output)) == [
        "passed only alone: tests/launcher/local/test_c.py::test_dies",
        "passed only alone: tests/test_a.py::test_once[a#\\xe9]",
        "passed only alone: tests/test_a.py::test_once[c::d[e]/f]",
        "passed only alone: tests/trainer/test_b.py::test_setup",
        "passed only alone: tests/trainer/test_b.py::test_teardown",
    ]
    assert notes(folder).count("passes") == 1  # nothing else ran again
    assert notes(folder)[-5] == "dies"  # before tests that may start JAX's threads
    left = {path.name for path in folder.iterdir()}
    assert left == {
        "tests",
        "pyproject.toml",
        "notes",
        "tmp",
        ".pytest_cache",
        "report.xml",
        "report.xml.alone",
    }


ONE_FAILED = "passed only alone: tests/test_a.py::test_once[0]"


@pytest.mark.parametrize(
    ("files", "options", "code", "runs", "last"),
    [
        ({"test_a.py": PASSES}, [], 0, 1, []),
        (
            {"test_a.py": ONCE.format(values="[0]") + ALWAYS},
            [],
            1,
            2,
            ["failed twice: tests/test_a.py::test_always", ONE_FAILED],
        ),
        ({"test_a.py": ONCE.format(values="range(6)")}, [], 1, 1, []),
        ({"test_a.py": SKIPS}, [], 1, 2, ["failed, and not passed alone: tests/test_a.py::test_skips"]),
        # The second run takes the options of the first one, and not its paths.
        (
            {"test_a.py": ONCE.format(values="[0]"), "test_b.py": PASSES},
            ["tests/test_a.py", "tests/test_b.py", "-k", "once or passes"],
            0,
            2,
            [ONE_FAILED],
        ),
        ({"test_a.py": ONCE.format(values="range(3)")}, ["-x"], 2, 1, []),
        ({"test_a.py": ONCE.format(values="[0]"), "test_b.py": "import nowhere"}, [], 1, 1, []),
        ({"test_a.py": ONCE.format(values="[0]")}, ["--no-such-option"], 4, 0, []),
        (
            {
                "test_a.py": ONCE.format(values="[0]") + PASSES,
                "trainer/conftest.py": "def pytest_runtest_protocol(item):\n    assert item.name is None",
                "trainer/test_b.py": PASSES,
            },
            [],
            3,
            1,
            [],
        ),
    ],
    ids=["passes", "always", "six", "skips", "options", "cut_short", "import", "usage", "internal"],
)
def test_a_second_run_decides_where_the_first_one_is_whole(
    tmp_path: Path, files: dict[str, str], options: list[str], code: int, runs: int, last: list[str]
) -> None:
    returned, output = ended(project(tmp_path, files), "-n", "1", *options)
    assert returned == code, output
    assert (runs_of_pytest(output), verdicts(output)[-len(last) :] if last else []) == (runs, last), output
    assert ("alone" in output) == (runs == 2)


@pytest.mark.parametrize("body", [HANGS, HANGS_ALONE], ids=["first", "second"])
def test_an_interrupt_ends_either_run(tmp_path: Path, body: str) -> None:
    files = {"test_a.py": ONCE.format(values="[0]"), "test_b.py": body}
    folder = project(tmp_path, files)
    begun = 1 if body == HANGS else 2
    with start(folder, "-n", "2") as run:
        until = time.monotonic() + 60
        while notes(folder).count("hangs") < begun or "once-0" not in notes(folder):
            assert run.poll() is None
            assert time.monotonic() < until, notes(folder)
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 2, output
    assert runs_of_pytest(output) == begun
    assert "passed only alone: tests/test_b.py" not in output
    assert list(folder.glob("tmp/test-programs-*")) == []


def test_make_test_gives_a_second_chance() -> None:
    make = ["make", "--dry-run", "test", "WORKERS=3", "PYTEST_FLAGS=tests/test_paths.py"]
    done = subprocess.run(make, cwd=TESTS.parent, capture_output=True, text=True, check=True)
    assert "python tools/second_chance.py -n 3 tests/test_paths.py\n" in done.stdout
