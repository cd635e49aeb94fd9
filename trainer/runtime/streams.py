"""What a process prints: stdout holds data only, and libraries in C++ log errors alone.

Their log levels are environment variables, read when the libraries are loaded. What they print to stdout
goes to stderr, because a program reads stdout.
"""

import os
import sys
import threading
from collections.abc import Iterable, MutableMapping

# XLA and TensorFlow, glog, gRPC, libtpu. 2: errors; a variable that is set already stays.
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "GLOG_minloglevel": "2",
    "GRPC_VERBOSITY": "ERROR",
    "TPU_STDERR_LOG_LEVEL": "2",
    "TPU_MIN_LOG_LEVEL": "2",
}
NOISE = (b"[Gloo] ",)  # starts of lines on stdout: Gloo prints one for each group of hosts that connects
FLUSH_SECONDS = 1.0

_copying: threading.Thread | None = None


def quieten(environ: MutableMapping[str, str]) -> None:
    """Set the log levels of libraries in C++; called before JAX is imported."""
    for name, level in QUIET.items():
        environ.setdefault(name, level)


def reserve_stdout(hosts_on_cpu: bool = False) -> None:
    """Keep file descriptor 1 for what Python prints; everything else that is written to it goes to stderr.

    Args:
      hosts_on_cpu: the process talks to others through Gloo, whose lines are left out.
    """
    global _copying
    out = sys.stdout
    if out is not sys.__stdout__ or out is None or out.fileno() != 1:
        return  # a test or another program has replaced it
    out.flush()
    data = os.dup(1)
    sys.stdout = open(  # noqa: SIM115
        data, "w", encoding=out.encoding, errors=out.errors, buffering=1 if out.line_buffering else -1
    )
    if not hosts_on_cpu:
        os.dup2(2, 1)
        return
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(writing)
    _copying = threading.Thread(target=_copy, args=(reading,), name="stdout-of-libraries", daemon=True)
    _copying.start()


def flush() -> None:
    """Write what Python and libraries have printed; called at the end of the process."""
    sys.stdout.flush()
    if _copying:
        os.dup2(2, 1)  # ends the pipe
        _copying.join(FLUSH_SECONDS)
    sys.stderr.flush()


def _copy(reading: int) -> None:
    with open(reading, "rb") as lines:
        for line in without_noise(lines):
            os.write(2, line)


def without_noise(lines: Iterable[bytes]) -> Iterable[bytes]:
    """Yield the lines that no library prints without being asked."""
    return (line for line in lines if not line.startswith(NOISE))
