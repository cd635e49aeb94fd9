"""A plugin of pytest that ends a run with its slowest files: how long they took, and how long they computed.

A file whose processor time is far below its time waits, so other tests may run beside it.
"""

import os
from collections import defaultdict
from collections.abc import Generator

import pytest

FILES = 15
NAME = "processor_seconds"


def processor_seconds() -> float:
    """Return the user and system seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Times:
    """Seconds and processor seconds by file, over all processes of a run."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._seconds: dict[str, float] = defaultdict(float)
        self._processor: dict[str, float] = defaultdict(float)

    def pytest_runtest_logstart(self) -> None:
        """Note the processor time at which a test begins."""
        self._begun = processor_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give a test's last report the processor time since its begin."""
        report = yield
        if call.when == "teardown":
            report.user_properties.append((NAME, processor_seconds() - self._begun))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a report, of this process or another."""
        file = report.nodeid.partition("::")[0]
        self._seconds[file] += report.duration
        if report.when == "teardown":
            self._processor[file] += sum(float(str(v)) for key, v in report.user_properties if key == NAME)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        if len(self._seconds) < 2:
            return
        slowest = sorted(self._seconds.items(), key=lambda row: -row[1])[:FILES]
        rows = [(f"{seconds:8.1f}s", f"{self._processor[file]:8.1f}s", file) for file, seconds in slowest]
        total = f"{sum(self._seconds.values()):8.1f}s", f"{sum(self._processor.values()):8.1f}s", "all files"
        terminalreporter.section(f"slowest {FILES} files: time, processor time")
        for row in (*rows, total):
            terminalreporter.write_line(" ".join(row))
