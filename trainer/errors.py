"""What can go wrong in a pod, and the exit code that tells the JobSet what to do about it.

The launcher writes the failure policy of the JobSet from this table:

=====  =========================================  ==============================
code   meaning                                    the JobSet's answer
=====  =========================================  ==============================
0      finished                                   completed
42     preempted, state saved                     restart, not counted
43     failed, may be retried                     restart, counted
44     cannot succeed: configuration, data, NaN   fail the run at once
45     hung                                       restart, counted
=====  =========================================  ==============================
"""

FINISHED = 0
PREEMPTED = 42
RETRY = 43
FATAL = 44
HUNG = 45


class TrainError(Exception):
    """A failure with a message for people, an optional hint, and an exit code."""

    exit_code = RETRY

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\nhint: {self.hint}" if self.hint else text


def first_line(error: Exception, most: int = 200) -> str:
    """What an error of another library says, in one line; its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0][:most]


class JoinError(TrainError):
    """This process could not join the others, or found other devices than it was promised."""


class ConfigError(TrainError):
    """The request contradicts itself, the network, the data or the machine."""

    exit_code = FATAL


class DataError(TrainError):
    """A dataset is missing, truncated or of the wrong shape."""

    exit_code = FATAL


class RunDirectoryError(TrainError):
    """The run directory cannot be written, is in use, or belongs to another run."""

    exit_code = FATAL


class StorageError(TrainError):
    """The bucket or disk of the run directory does not answer; it may in a while."""


class NonFiniteError(TrainError):
    """The loss or the gradient of a step is not a finite number."""

    exit_code = FATAL

    def __init__(self, step: int, message: str, hint: str | None = None):
        super().__init__(message, hint)
        self.step = step

    def after(self, rollbacks: int) -> "NonFiniteError":
        return NonFiniteError(self.step, f"{self.args[0]}, after {rollbacks} rollbacks", self.hint)


class PreemptedError(TrainError):
    """The machine is being taken away; the state has been saved."""

    exit_code = PREEMPTED
