"""What can go wrong in a pod, and the exit code that tells the JobSet what to do about it."""

import enum
import errno
from typing import Literal

# What the JobSet does once a pod has ended: the launcher writes its failure policy from this.
Then = Literal["complete", "restart, not counted", "restart, counted", "fail at once"]

# Heads of the lines that a process ends with on stderr; the launcher reads them.
ERROR, HINT = "error: ", "hint: "


class ExitCode(enum.IntEnum):
    """The exit codes of the trainer; `make generate` tells the launcher."""

    meaning: str
    then: Then

    def __new__(cls, code: int, meaning: str, then: Then) -> "ExitCode":
        self = int.__new__(cls, code)
        self._value_, self.meaning, self.then = code, meaning, then
        return self

    FINISHED = 0, "finished", "complete"
    PREEMPTED = 42, "preempted, state saved", "restart, not counted"
    RETRY = 43, "failed, may be retried", "restart, counted"
    FATAL = 44, "cannot succeed", "fail at once"  # bad configuration or data, a loss that is not finite
    HUNG = 45, "hung", "restart, counted"


# Errors of a file system that come from names and rights, which time does not change.
PERMANENT = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


class TrainError(Exception):
    """A failure with a message for people, an optional hint, and an exit code."""

    exit_code: int = ExitCode.RETRY

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n{HINT}{self.hint}" if self.hint else text


def first_line(error: Exception, most: int = 200) -> str:
    """What an error of another library says, in one line; its kind where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0][:most]


class JoinError(TrainError):
    """This process could not join the others, or found other devices than it was promised."""


class ConfigError(TrainError):
    """The request contradicts itself, the network, the data or the machine."""

    exit_code = ExitCode.FATAL


class DataError(TrainError):
    """A dataset is missing, truncated or of the wrong shape."""

    exit_code = ExitCode.FATAL


class RunDirectoryError(TrainError):
    """The run directory cannot be written, is in use, or belongs to another run."""

    exit_code = ExitCode.FATAL


class StorageError(TrainError):
    """The bucket or disk of the run directory does not answer; it may in a while."""


class NonFiniteError(TrainError):
    """The loss or the gradient of a step is not a finite number."""

    exit_code = ExitCode.FATAL

    def __init__(self, step: int, message: str, hint: str | None = None):
        super().__init__(message, hint)
        self.step = step

    def after(self, rollbacks: int) -> "NonFiniteError":
        return NonFiniteError(self.step, f"{self.args[0]}, after {rollbacks} rollbacks", self.hint)


class PreemptedError(TrainError):
    """The machine is being taken away; the state has been saved."""

    exit_code = ExitCode.PREEMPTED


def is_permanent(error: Exception) -> bool:
    """Whether a failure is one of names and rights, which time does not change."""
    code = getattr(error, "code", None)  # of HTTP, in the errors of both clients
    if isinstance(code, int):
        return 400 <= code < 500 and code not in (408, 429)
    if isinstance(error, OSError) and (error.errno in PERMANENT or str(error).startswith("Forbidden")):
        return True  # gcsfs makes a plain OSError of a 403
    return isinstance(error, (FileNotFoundError, ValueError))
