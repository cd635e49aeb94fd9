"""The trainer's exceptions, each with the exit code from which the JobSet decides what to do."""

import enum
import errno
import os
import re
from collections.abc import Iterator
from typing import Literal

# What the JobSet does once a pod has ended; the launcher renders the failure policy from it.
Then = Literal["complete", "restart, not counted", "restart, counted", "fail at once"]

# First words of the last lines that a failing process writes to stderr; the launcher reads them.
ERROR, HINT = "error: ", "hint: "


class ExitCode(enum.IntEnum):
    """The exit codes of the trainer; `make generate` copies them to contract.json for the launcher."""

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


# File-system errors caused by a name or a permission, so that trying again does not help.
PERMANENT = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO),
)
# File-system errors of a disk that takes no more bytes; trying again helps once there is space.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How TensorStore words an error of the system, after the path in quotes and what it tried.
TENSORSTORE = re.compile(r"(?:\"(?P<path>/[^\"]*)\"[^\"]*)?\[os_error_code='(?P<code>\d+)'")


# Control characters, ends of lines, and bytes that are not UTF-8: no name of a class may have them.
CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# What a terminal obeys: these, and what turns the direction of the text that follows.
OBEYED = re.compile(r"[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return a text as messages show it: control characters and bytes that are not UTF-8 as ``\x1b``.

    So a name of a file or a class can neither command a terminal nor look like another line of the log.
    """
    return OBEYED.sub(_escaped, text)


def printable_json(text: str) -> str:
    r"""Return JSON with its control characters, which stand only within texts, as ``\u009b``."""
    return OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class TrainError(Exception):
    """A failure with a message for people, an optional hint, and an exit code."""

    exit_code: int = ExitCode.RETRY

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        text = self._message()
        return f"{text}\n{HINT}{printable(self.hint)}" if self.hint else text

    def _message(self) -> str:
        return printable(super().__str__())


def first_line(error: BaseException, max_length: int = 200) -> str:
    """Return the first line of another library's error; its type where it has no message.

    Control characters, which a message may quote from a file, are written as ``\\x1b``.
    """
    return printable((str(error) or type(error).__name__).splitlines()[0][:max_length])


class JoinError(TrainError):
    """The process could not join the others, or the number of devices is not the expected one."""


class ConfigError(TrainError):
    """The settings contradict each other, the network, the data or the machine; one problem a line."""

    exit_code = ExitCode.FATAL

    def _message(self) -> str:
        return "\n".join(map(printable, Exception.__str__(self).split("\n")))


class DataError(TrainError):
    """A dataset is missing, truncated or of the wrong shape."""

    exit_code = ExitCode.FATAL


class RunDirectoryError(TrainError):
    """The run directory cannot be written, is in use, or belongs to another run."""

    exit_code = ExitCode.FATAL


class StorageError(TrainError):
    """The bucket or disk of the run directory does not answer; a later attempt may succeed."""


class NonFiniteError(TrainError):
    """The loss or the gradient of a step is not a finite number."""

    exit_code = ExitCode.FATAL

    def __init__(self, step: int, message: str, hint: str | None = None):
        super().__init__(message, hint)
        self.step = step

    def after(self, rollbacks: int) -> "NonFiniteError":
        """Return the same error, which also states how often the run has rolled back."""
        return NonFiniteError(self.step, f"{self.args[0]}, after {rollbacks} rollbacks", self.hint)


class PreemptedError(TrainError):
    """The machine is being taken away; the state has been saved."""

    exit_code = ExitCode.PREEMPTED


def is_permanent(error: BaseException) -> bool:
    """Return whether an error comes from a name or a permission, so that trying again does not help."""
    code = getattr(error, "code", None)  # HTTP status, in the errors of both bucket clients
    if isinstance(code, int):
        return 400 <= code < 500 and code not in (408, 429)
    if system_error := system_error_of(error):
        return system_error.errno in PERMANENT
    if isinstance(error, OSError) and str(error).startswith("Forbidden"):
        return True  # gcsfs raises a plain OSError for a 403
    return isinstance(error, (FileNotFoundError, ValueError))


def is_full(error: BaseException) -> bool:
    """Return whether an error comes from a disk without space, a quota or a limit on the size of files."""
    system_error = system_error_of(error)
    return system_error is not None and system_error.errno in FULL


def system_error_of(error: BaseException) -> OSError | None:
    """Return the error of the operating system behind an exception, its causes and TensorStore's texts.

    None where there is none, as for errors of the clients of buckets.
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno:
            return cause
        if match := TENSORSTORE.search(str(cause)):
            code = int(match["code"])
            return OSError(code, os.strerror(code), match["path"])
    return None


def reason(error: BaseException) -> str:
    """Return why something failed, on one line: the system's reason and the path that it is about."""
    system_error = system_error_of(error)
    if system_error is None or not system_error.strerror:
        return first_line(error)
    path = system_error.filename
    path = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    return f"{path}: {system_error.strerror}" if path else system_error.strerror


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it was raised from."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__
