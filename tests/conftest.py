"""The order and the grouping of the tests when `make test` runs them in several processes (pytest-xdist).

A process takes one unit of work after the other: a file, or all files that share a cluster. The units that
wait for a cluster come early, beside those that compute; on a fresh machine, where the cluster's programs are
still being compiled, they come last. In one process (plain `pytest`) the order is pytest's.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
from quick_programs import QUICKLY_COMPILED
from suite_times import Times

# Files whose tests run pods on the test cluster; tests/test_schedule.py compares them with the fixtures.
NODE = {
    "test_code_node.py",
    "test_examples_node.py",
    "test_faults.py",
    "test_follow_node.py",
    "test_helm_node.py",
    "test_image.py",
    "test_image_build.py",
    "test_node.py",
    "test_on_loss.py",
    "test_program_node.py",
    "test_queue_run.py",
    "test_repaired_host.py",
    "test_run.py",
    "test_smoke.py",
    "test_soak.py",
}
# Files whose tests use the Docker engine; the same test compares them.
DOCKER = {"test_docker.py", "test_kind.py"}
# Files that take minutes and start JAX only in processes of their own. What begins last should be short.
LONG = (
    "tests/trainer/test_demo.py",
    "tests/docs/test_commands.py",
    "tests/helm/test_equality.py",
)
# Files of the trainer that compute for minutes begin before its others, so that none runs on at the end.
HEAVY = (
    "tests/trainer/models/test_families.py",
    "tests/trainer/models/test_family_devices.py",
    "tests/trainer/learning/test_sparse.py",
    "tests/trainer/models/test_parity.py",
    "tests/trainer/models/test_deq.py",
    "tests/trainer/models/test_family_layout.py",
    "tests/trainer/learning/test_step.py",
    "tests/trainer/models/test_depth.py",
    "tests/trainer/models/test_stacks.py",
)
BEFORE = ("tests/test_", "tests/bench/", "tests/launcher/")  # what pytest runs before the trainer's files
# Their launchers fork in the process of the test, which must not have JAX's threads yet: its first unit.
FORKS = "tests/launcher/local/"
CLUSTERS = ("a cluster with a node", "a control plane", "a Docker engine")
TOOLS = "TEST_TOOLS"  # environment variable: whether the cluster's programs are "compiled" or "missing"
COMPILING_SECONDS = 5400  # a test's time limit while they are, since a test may wait for all of them
PROGRAMS = "TEST_PROGRAMS"  # environment variable: the folder of compiled programs that all processes share


def unit(nodeid: str) -> str:
    """Return the unit of work of a test: its file, or the cluster that it needs."""
    path = nodeid.partition("::")[0]
    if path.startswith(FORKS):
        return FORKS
    if not path.startswith("tests/cluster/"):
        return path
    name = path.rpartition("/")[2]
    return CLUSTERS[2 if name in DOCKER else name not in NODE]


def rank(nodeid: str) -> int:
    """Return the place of a test's unit; units of the same place stay in pytest's order."""
    name = unit(nodeid)
    late = name in CLUSTERS and os.environ[TOOLS] == "missing"
    early = (FORKS, *CLUSTERS, *LONG, BEFORE, *HEAVY, "others", "late")
    place = "late" if late else name if name in early else BEFORE if name.startswith(BEFORE) else "others"
    return early.index(place)


def pytest_configure(config: pytest.Config) -> None:
    """Tell all processes where compiled programs are, and whether those of the cluster are there."""
    # The background of a shell ignores Ctrl-C, and what tests start there would ignore it too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.pluginmanager.register(Times())
    if PROGRAMS in os.environ:  # one of several processes
        return
    state = "missing" if _missing_tools() else "compiled"
    if state == "missing" and config.pluginmanager.has_plugin("timeout"):
        config.option.timeout = config.option.timeout or COMPILING_SECONDS
    _remove_programs_of_killed_runs()
    folder = tempfile.mkdtemp(prefix=f"test-programs-{os.getpid()}-")
    variables = pytest.MonkeyPatch()
    variables.setenv(PROGRAMS, folder)
    variables.setenv(TOOLS, os.environ.get(TOOLS, state))
    variables.setenv("XLA_FLAGS", QUICKLY_COMPILED, prepend=" ")

    def forget() -> None:
        variables.undo()
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(forget)


def _remove_programs_of_killed_runs() -> None:
    for folder in Path(tempfile.gettempdir()).glob("test-programs-*-*"):
        try:
            os.kill(int(folder.name.split("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # of another user, or no folder of a run


def _missing_tools() -> list[str]:
    """Return the programs of the test cluster that this machine has to compile; none where it cannot."""
    try:
        from testcluster import ClusterError, build
    except ImportError:  # a project without the cluster, as in test_schedule.py
        return []
    try:
        return build.missing()
    except ClusterError:
        return []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the units that wait first, in a process of several."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return the scheduler that hands out units in their order."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

        def remove_node(self, node: Any) -> str | None:
            """Forget a process; the test that ended it has failed, and no other process runs it again."""
            units = self.assigned_work[node].values()
            ended_it = next((test for tests in units for test, done in tests.items() if not done), None)
            for tests in units:
                tests.update({test: True for test in tests if test == ended_it})
            super().remove_node(node)
            return ended_it

        def _reschedule(self, node: Any) -> None:
            """Give a process its next units: it begins a test when it knows the one after it, or the end."""
            super()._reschedule(node)
            while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
                super()._reschedule(node)

    return Units(config, log)
