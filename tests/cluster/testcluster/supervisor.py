"""The first process of a sandbox: starts the cluster's components, watches them, ends them with itself.

It is process 1 of its own PID namespace. When it ends, for whatever reason, the kernel ends everything inside
and removes the sandbox's mounts and network devices. Nothing can be left running.

    unshare --mount --net --pid --fork --kill-child --mount-proc python -m testcluster.supervisor FOLDER

It listens on FOLDER/control (one JSON line in, one out), and ends when the process that owns it does.
"""

import argparse
import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.02


class Component:
    """One program of the cluster and how it is doing."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.argv: list[str] = request["argv"]
        self.environment: dict[str, str] = request["environment"]
        self.log: str = request["log"]
        self.starts = 0
        self.pid = 0
        self.status: int | None = None

    def start(self) -> None:
        """Run the program in a session of its own, its output added to its log."""
        self.pid = os.posix_spawn(
            self.argv[0],
            self.argv,
            self.environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self.starts += 1
        self.status = None

    def report(self) -> dict[str, Any]:
        """The fields a client sees; `exit` is negative for a signal, null while it runs."""
        return {"pid": self.pid, "exit": self.status, "starts": self.starts, "log": self.log}


class Supervisor:
    """Starts, stops and reaps; one request at a time."""

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}

    def reap(self) -> None:
        """Collect every process that ended: components, and whatever they left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for component in self.components.values():
                if component.pid == pid and component.status is None:
                    component.status = os.waitstatus_to_exitcode(status)

    def stop(self, name: str, number: int, grace_seconds: float) -> None:
        """Signal a component's process and wait; SIGKILL its whole session when the grace is over."""
        component = self.components[name]
        if component.status is None:
            os.kill(component.pid, number)
        deadline = time.monotonic() + grace_seconds
        while component.status is None:
            self.reap()
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):  # it ended at this very moment
                    os.killpg(component.pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one request; a failure is an answer with the key `error`."""
        self.reap()
        try:
            match request["do"]:
                case "start":
                    if (running := self.components.get(request["name"])) and running.status is None:
                        return {"error": f"{request['name']} is already running as process {running.pid}"}
                    component = Component(request)
                    component.starts = running.starts if running else 0
                    component.start()
                    self.components[request["name"]] = component
                case "stop":
                    self.stop(request["name"], request["signal"], request["grace_seconds"])
                case "status":
                    pass
                case "end":
                    raise SystemExit
                case unknown:
                    return {"error": f"unknown request {unknown!r}"}
        except (OSError, KeyError) as error:
            return {"error": f"{request.get('do')} {request.get('name', '')}: {error!r}"}
        return {name: component.report() for name, component in self.components.items()}


def serve(supervisor: Supervisor, control: socket.socket, owner: int | None) -> None:
    """Answer requests until a request to end, or until the owner's end of the pipe is closed."""
    selector = selectors.DefaultSelector()
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for watched in (control, woken, *([owner] if owner is not None else [])):
        selector.register(watched, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is woken:
                woken.recv(4096)
                supervisor.reap()
            elif key.fileobj is control:
                connection, _ = control.accept()
                with connection, connection.makefile("rw") as stream:
                    connection.settimeout(60)
                    if line := stream.readline():
                        stream.write(json.dumps(supervisor.answer(json.loads(line))) + "\n")
            elif not os.read(key.fd, 1):
                raise SystemExit


def main() -> None:
    """Hold the folder's lock for as long as the cluster lives, and serve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--owned", action="store_true", help="end when standard input is closed")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit())  # process 1 ignores signals without a handler
    os.chdir(arguments.folder)  # a socket's path holds 107 bytes at most, so it is a relative one
    lock = open("lock", "w")  # noqa: SIM115 - held until the process ends
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    Path("control").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as control:
        control.bind("control")
        control.listen()
        serve(Supervisor(), control, 0 if arguments.owned else None)


if __name__ == "__main__":
    main()
