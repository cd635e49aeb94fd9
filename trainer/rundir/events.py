"""The events of a run: every row that ``events.jsonl`` may hold, declared once.

Every event is an instance of its declaration, so none with another name or field can be written. `make
generate` copies the declarations to contract.json for the launcher. Rows of earlier versions may lack fields.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

EVENTS: dict[str, type["Event"]] = {}  # by name, in the order of a run

Step = Annotated[int, "optimizer updates done"]
Seconds = Annotated[float, "duration in seconds"]
CpuSeconds = Annotated[float, "CPU time of this process so far, in seconds"]
WaitedSeconds = Annotated[float, "time that this process has spent waiting for data so far, in seconds"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a run."""

    NAME: ClassVar[str]
    MILESTONE: ClassVar[bool]  # on the way to the first step

    at: Annotated[float | None, "when it happened, in unix seconds"] = None

    def __init_subclass__(cls, name: str, milestone: bool = False):
        cls.NAME, cls.MILESTONE = name, milestone
        EVENTS[name] = cls

    def row(self) -> dict[str, Any]:
        """Return the event as a row of ``events.jsonl``."""
        return {"name": self.NAME, **known(self)}


def known(declared: Any) -> dict[str, Any]:
    """Return the fields of a dataclass in their order, without those that are None."""
    values = {field.name: getattr(declared, field.name) for field in dataclasses.fields(declared)}
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Start(Event, name="start"):
    """The process of the first host has started."""

    restart: Annotated[int, "restarts of the run before this attempt"]
    hosts: Annotated[int, "hosts of the run, one process on each"]
    devices: Annotated[int, "devices of the run, over all hosts"]
    device_kind: Annotated[str, "JAX's name for the devices"]
    before_step: Annotated[int | None, "last step that the previous attempt logged"] = None
    before_at: Annotated[float | None, "when the previous attempt logged it, in unix seconds"] = None
    before_waited_seconds: Annotated[
        float | None, "time that the previous attempt had spent waiting for data by then, in seconds"
    ] = None


@dataclass(frozen=True, kw_only=True)
class Joined(Event, name="joined", milestone=True):
    """All hosts have joined."""


@dataclass(frozen=True, kw_only=True)
class Opened(Event, name="opened"):
    """The data and the run directory are open."""

    cpu_seconds: CpuSeconds


@dataclass(frozen=True, kw_only=True)
class Restore(Event, name="restore", milestone=True):
    """A checkpoint was restored."""

    step: Annotated[int, "step at which this attempt begins"]
    seconds: Seconds
    cpu_seconds: CpuSeconds


@dataclass(frozen=True, kw_only=True)
class Compiled(Event, name="compiled", milestone=True):
    """The training step is compiled."""

    seconds: Seconds
    cpu_seconds: CpuSeconds
    programs: Annotated[int, "compiled training steps, one per resolution"]


@dataclass(frozen=True, kw_only=True)
class FirstStep(Event, name="first_step", milestone=True):
    """The first step of this attempt is done."""

    step: Step
    cpu_seconds: CpuSeconds
    steps: Annotated[int | None, "steps of the whole run"] = None


@dataclass(frozen=True, kw_only=True)
class Evaluate(Event, name="evaluate"):
    """An evaluation is done."""

    step: Step
    seconds: Seconds


@dataclass(frozen=True, kw_only=True)
class Save(Event, name="save"):
    """A save of a checkpoint has begun."""

    step: Step
    seconds: Annotated[float, "time in which no step ran because of it, in seconds"]
    waited_seconds: WaitedSeconds


@dataclass(frozen=True, kw_only=True)
class Rollback(Event, name="rollback"):
    """The run has returned to a checkpoint after a loss or gradient that was not finite."""

    step: Annotated[int, "step whose loss or gradient was not finite"]
    to: Annotated[int, "step of the checkpoint to which the run returned"]
    waited_seconds: WaitedSeconds


@dataclass(frozen=True, kw_only=True)
class Preempted(Event, name="preempted"):
    """The machine is being taken away; the state has been saved."""

    step: Step


@dataclass(frozen=True, kw_only=True)
class End(Event, name="end"):
    """The run is finished."""

    step: Step
    accuracy: Annotated[float | None, "accuracy of the last evaluation, 0 to 1"] = None
    seconds: Annotated[float, "duration of the wait for the last save, in seconds"]
    waited_seconds: WaitedSeconds
    goodput: Annotated[
        float | None, "fraction of the run's time spent on training steps that count, 0 to 1"
    ] = None
