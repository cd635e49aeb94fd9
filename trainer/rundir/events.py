"""The events of a run: everything that may stand in ``events.jsonl``, declared once.

An event is made from its declaration, so that none with another name or field can be written. The launcher
knows them from contract.json, which `make generate` writes. Rows that earlier versions wrote may lack fields.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

EVENTS: dict[str, type["Event"]] = {}  # by name, in the order in which a run has them

Step = Annotated[int, "optimizer updates done"]
Seconds = Annotated[float, "how long it took, in seconds"]
CpuSeconds = Annotated[float, "processor time of this process so far, in seconds"]
WaitedSeconds = Annotated[float, "time that this process has waited for data so far, in seconds"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a run."""

    NAME: ClassVar[str]
    MILESTONE: ClassVar[bool]  # of the way to the first step

    at: Annotated[float | None, "when it happened, in unix seconds"] = None

    def __init_subclass__(cls, name: str, milestone: bool = False):
        cls.NAME, cls.MILESTONE = name, milestone
        EVENTS[name] = cls

    def row(self) -> dict[str, Any]:
        """The row of ``events.jsonl``."""
        return {"name": self.NAME, **known(self)}


def known(declared: Any) -> dict[str, Any]:
    """Fields of a dataclass in their order, without those that are None."""
    values = {field.name: getattr(declared, field.name) for field in dataclasses.fields(declared)}
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Start(Event, name="start"):
    """The first host's process began."""

    restart: Annotated[int, "restarts of the run before this attempt"]
    hosts: Annotated[int, "processes of the run"]
    devices: Annotated[int, "devices of the run, over all hosts"]
    device_kind: Annotated[str, "JAX's name of the devices"]
    before_step: Annotated[int | None, "last step that the previous attempt logged"] = None
    before_at: Annotated[float | None, "when the previous attempt logged it, in unix seconds"] = None
    before_waited_seconds: Annotated[
        float | None, "time that the previous attempt had waited for data by then, in seconds"
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

    step: Annotated[int, "step that this attempt begins at"]
    seconds: Seconds
    cpu_seconds: CpuSeconds


@dataclass(frozen=True, kw_only=True)
class Compiled(Event, name="compiled", milestone=True):
    """The training step is compiled."""

    seconds: Seconds
    cpu_seconds: CpuSeconds
    programs: Annotated[int, "training programs of the run: one per resolution"]


@dataclass(frozen=True, kw_only=True)
class FirstStep(Event, name="first_step", milestone=True):
    """The first step of this attempt is done."""

    step: Step
    cpu_seconds: CpuSeconds


@dataclass(frozen=True, kw_only=True)
class Evaluate(Event, name="evaluate"):
    """An evaluation is done."""

    step: Step
    seconds: Seconds


@dataclass(frozen=True, kw_only=True)
class Save(Event, name="save"):
    """A checkpoint is on its way."""

    step: Step
    seconds: Annotated[float, "how long the steps stood still for it, in seconds"]
    waited_seconds: WaitedSeconds


@dataclass(frozen=True, kw_only=True)
class Rollback(Event, name="rollback"):
    """The run went back to a checkpoint after a loss that was not finite."""

    step: Annotated[int, "step whose loss was not finite"]
    to: Annotated[int, "step of the checkpoint"]
    waited_seconds: WaitedSeconds


@dataclass(frozen=True, kw_only=True)
class Preempted(Event, name="preempted"):
    """The machine is being taken away, and the state is saved."""

    step: Step


@dataclass(frozen=True, kw_only=True)
class End(Event, name="end"):
    """The run is finished."""

    step: Step
    accuracy: Annotated[float | None, "of the last evaluation, 0 to 1"] = None
    seconds: Annotated[float, "how long the last save took, in seconds"]
    waited_seconds: WaitedSeconds
    goodput: Annotated[float | None, "share of the run's time that went into steps that count"] = None
