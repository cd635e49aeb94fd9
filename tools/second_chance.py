"""A run of pytest in which a few failed tests get a second chance: `make test`.

    python tools/second_chance.py -n 3 FLAGS OF PYTEST

Tests that run beside others may fail for want of a processor, and pass alone. Where at most MOST tests
failed, in setup and teardown too, they run once more in one process with nothing beside it, and that run
decides. The last lines name the tests that passed only alone. A run that was cut short, or whose tests could
not be collected, is never repeated. Nothing is kept between two commands, so that no cache is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import pytest

MOST = 5  # failed tests that run again; more have a cause that is not the load


class Outcomes:
    """What became of each test of a run, over all its processes (a plugin of pytest)."""

    def __init__(self) -> None:
        self.failed: dict[str, None] = {}  # in their order
        self.passed: set[str] = set()
        self.complete = True  # whether all tests were collected, and all of them ran
        self._ran: set[str] = set()
        self.options: list[str] = []  # the command line without paths
        self.root = ""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Note the command line."""
        self.root = str(config.rootpath)
        self.options = without_paths(config.invocation_params.args, config.option.file_or_dir)
        if config.option.xmlpath:  # the report of the first run is kept
            self.options.append(f"--junitxml={config.option.xmlpath}.alone")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be collected."""
        self.complete &= not report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the result of a test's setup, call or teardown."""
        self._ran.add(report.nodeid)
        if report.failed:
            self.failed[report.nodeid] = None
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    def pytest_internalerror(self) -> None:
        """Note an error of pytest or of a plugin, in any process."""
        self.complete = False

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Note whether something, such as `--maxfail`, ended the run early."""
        self.complete &= len(self._ran) == session.testscollected


def without_paths(arguments: Iterable[str], paths: Iterable[str] | None) -> list[str]:
    """Return the options of a command line of pytest, given which of its arguments are paths."""
    options = list(arguments)
    for path in reversed(list(paths or [])):
        if path in options:  # not one of PYTEST_ADDOPTS
            del options[len(options) - 1 - options[::-1].index(path)]
    return options


def main(arguments: list[str]) -> int:
    """Run pytest, and the few tests that failed once more; return pytest's exit code."""
    together = Outcomes()
    code = pytest.main(arguments, plugins=[together])
    failed = list(together.failed)
    if code != pytest.ExitCode.TESTS_FAILED or not together.complete or not 1 <= len(failed) <= MOST:
        return int(code)
    print("The tests that failed run once more, alone and in one process:", *failed, sep="\n  ", flush=True)
    alone = Outcomes()
    tests = [f"{together.root}/{test}" for test in failed]
    # A process of pytest-xdist, which puts tests in the order that tests/conftest.py wants.
    code = pytest.main([*together.options, "-n", "1", *tests], plugins=[alone])
    passed = [test for test in failed if test in alone.passed and test not in alone.failed]
    missing = [test for test in failed if test not in alone.passed and test not in alone.failed]
    _say("failed twice:", list(alone.failed))
    _say("failed, and not passed alone:", missing)
    _say("passed only alone:", passed)
    return int(code) or int(len(passed) < len(failed))


def _say(heading: str, tests: list[str]) -> None:
    for test in tests:
        print(f"{heading} {test}", flush=True)


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as with `python -m pytest`: not this folder
    sys.exit(main(sys.argv[1:]))
