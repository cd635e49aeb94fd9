"""The command that `status` and `list` show is the typed one, whatever the launcher puts before it."""

import pytest

from launcher import TrainingJob, render
from launcher.hardware import slices
from launcher.runs import commands

TYPED = ["bash", "-c", 'cd /app && exec "$@"', "x", "--", "python", "train.py"]


@pytest.mark.parametrize("name", ["v4-32", "cpu-2x1", "a100-16", "h100-16", "h100-mega-16", "gb200-72"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("typed", [["python", "train.py", "--", "a b"], ["sh", "-c", "exit 3"], TYPED])
def test_the_typed_command(name: str, count: int, typed: list[str]) -> None:
    assert slices.parse(name)
    job = TrainingJob(slice=name, num_slices=count, command=typed, name="mine", bucket="b-1")
    assert commands.of(render(job)[-1]) == typed


@pytest.mark.parametrize("command", [None, "python", [], [1, None], {"a": 1}])
def test_odd_commands_of_strangers(command: object) -> None:
    container = {"name": "trainer", "command": command}
    template = {"spec": {"template": {"spec": {"containers": [container]}}}}
    jobset = {"spec": {"replicatedJobs": [{"template": template}]}}
    assert commands.of(jobset) == ([str(word) for word in command] if isinstance(command, list) else [])
