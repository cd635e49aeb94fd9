"""A supervisor in namespaces of its own: start it, start its components, run commands inside."""

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from testcluster import places
from testcluster.errors import ClusterError

ANSWER_SECONDS = 60
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 15
# Programs of Go collect garbage half as often, for some hundred MB: a large chart takes helm a quarter less.
GO = {"GOGC": "200"}


def held(folder: Path) -> bool:
    """Return whether a supervisor runs in `folder`, where it holds a lock until it ends."""
    try:
        with (folder / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class Sandbox:
    """The processes, mounts and network of one cluster; `folder` holds its state, `folder/logs` its logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self._unshare: subprocess.Popen[bytes] | None = None

    def begin(self, *, owned: bool) -> None:
        """Start the supervisor; an owned one ends with this process, even if it is killed."""
        self.logs.mkdir(parents=True, exist_ok=True)
        unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
        command = [*unshare, sys.executable, "-m", "testcluster.supervisor", str(self.folder)]
        with (self.logs / "supervisor.log").open("ab") as log:
            self._unshare = subprocess.Popen(
                [*command, "--owned"] if owned else command,
                stdin=subprocess.PIPE if owned else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": str(places.PACKAGE.parent)},
                # Ctrl-C in a terminal must reach the tests but not the cluster
                start_new_session=True,
            )
        self.wait("supervisor", lambda: self.pid > 0, seconds=20, errors=(OSError,))

    def request(self, **request: Any) -> dict[str, Any]:
        """Send a request; return the components' reports by name. Raises ClusterError if it is refused."""
        with self._connect() as connection, connection.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            line = stream.readline()
        answer = json.loads(line) if line else {}
        if "error" in answer:
            raise ClusterError(f"supervisor: {answer['error']}", hint=f"read {self.logs / 'supervisor.log'}")
        return answer

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_SECONDS)
        folder = os.open(self.folder, os.O_PATH)
        try:
            connection.connect(
                f"/proc/self/fd/{folder}/control"
            )  # within a socket path's 107 bytes, whatever the folder
        except OSError:
            connection.close()
            raise
        finally:
            os.close(folder)
        return connection

    @property
    def pid(self) -> int:
        """The supervisor's process id as seen from outside the sandbox."""
        with self._connect() as connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], sys.byteorder)

    def status(self) -> dict[str, Any]:
        """Every component's process id, exit status (null while it runs), number of starts and log."""
        return self.request(do="status")

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a component with only PATH, GO and `environment`; its output goes to logs/<name>.log."""
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            **GO,
            **(environment or {}),
        }
        log = str(self.logs / f"{name}.log")
        self.request(do="start", name=name, argv=list(argv), environment=variables, log=log)

    def stop(self, name: str, number: int = signal.SIGTERM, grace_seconds: float = 10) -> None:
        """Signal a component and wait until it ends; SIGKILL after `grace_seconds`."""
        self.request(do="stop", name=name, signal=int(number), grace_seconds=grace_seconds)

    def run(self, *command: str, stdin: bytes | None = None) -> str:
        """Run a command inside and return its output; raises ClusterError when it fails."""
        inside = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--", *command]
        done = subprocess.run(inside, input=stdin, capture_output=True)
        if done.returncode:
            raise ClusterError(
                f"{' '.join(command)} failed: {(done.stderr or done.stdout).decode().strip()[-800:]}"
            )
        return done.stdout.decode()

    def wait(
        self,
        name: str,
        ready: Callable[[], bool],
        *,
        seconds: float = 60,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        """Wait until `ready()`; ClusterError with the end of the log if `name` exits or is too slow."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if ready():
                    return
                last = "it is not ready"
            except errors as error:
                last = repr(error)
            if reason := self._ended(name):
                raise self._failed(name, reason)
            if time.monotonic() > deadline:
                raise self._failed(name, f"not ready after {seconds:.0f} s: {last[:300]}")
            time.sleep(POLL_SECONDS)

    def _ended(self, name: str) -> str:
        if self._unshare and (code := self._unshare.poll()) is not None:
            return f"the supervisor ended with {code}"
        if name == "supervisor":
            return ""
        report = self.status().get(name)
        return f"it ended with {report['exit']}" if report and report["exit"] is not None else ""

    def _failed(self, name: str, reason: str) -> ClusterError:
        log = self.logs / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
        tail = "\n".join(f"  {line[:300]}" for line in lines)
        return ClusterError(f"{name}: {reason}\n{tail}", hint=f"read {log}")

    def end(self, seconds: float = 20) -> None:
        """End the supervisor and everything inside; return when the last process is gone."""
        try:
            process = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            self.request(do="end")
        except OSError:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        try:
            if not select.select([process], [], [], seconds)[0]:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                select.select([process], [], [], seconds)
        finally:
            os.close(process)
            if self._unshare:
                self._unshare.wait(seconds)
                if self._unshare.stdin:
                    self._unshare.stdin.close()
