"""Pods as processes: started together, their output prefixed, stopped as the kubelet stops them."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from launcher.errors import ActionError
from launcher.local.pods import Pod

POLL_SECONDS = 0.1  # longest delay until an exit or a signal is noticed
LONGEST_LINE_BYTES = 1 << 20  # a longer line is printed in parts


class Processes:
    """The running pods of one attempt.

    Each process has a session of its own, so that Ctrl-C in a terminal reaches the launcher alone, which
    then stops all of them. On Linux they die with the launcher, even when it is killed.

    Args:
      shown: turns a line that a pod prints into the one to print.
    """

    def __init__(
        self, pods: list[Pod], environ: Mapping[str, str], shown: Callable[[str], str] = str
    ) -> None:
        self._shown = shown
        self._selector = selectors.DefaultSelector()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for pod in pods:
                self._start(pod, environ)
        except OSError as error:
            self.stop(0)
            raise ActionError(f"cannot start {pods[0].command[0]}: {error.strerror}") from None

    def _start(self, pod: Pod, environ: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            pod.command,
            env={**environ, **pod.env},
            cwd=pod.directory or None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )
        self._running[pod.name] = process
        for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
            assert source is not None
            os.set_blocking(source.fileno(), False)
            self._selector.register(
                source, selectors.EVENT_READ, _Lines(pod.name, source, target, self._shown)
            )

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)  # no pod outlives the block, whatever went wrong
        self._selector.close()

    @property
    def running(self) -> list[str]:
        """The names of the pods that have not ended."""
        return list(self._running)

    def wait(self, seconds: float = POLL_SECONDS) -> dict[str, int]:
        """Copy output for at most `seconds`. Return pod -> exit code of ended pods, 128 + n for signal n."""
        for key, _ in self._selector.select(seconds):
            if not key.data.copy():
                key.data.flush()
                self._selector.unregister(key.fileobj)
        codes = {name: code for name, p in self._running.items() if (code := p.poll()) is not None}
        for name in codes:
            process = self._running.pop(name)
            _signal_group(process, signal.SIGKILL)  # as in a container, whose end kills its other processes
            self._finish(process)
        return {name: code if code >= 0 else 128 - code for name, code in codes.items()}

    def stop(self, grace_seconds: float, kill_now: Callable[[], bool] = bool) -> dict[str, int]:
        """Send SIGTERM, wait, then send SIGKILL. Return pod -> exit code.

        Args:
          grace_seconds: time between the two signals.
          kill_now: asked while waiting; True ends the wait.
        """
        for process in self._running.values():
            process.terminate()
        exit_codes: dict[str, int] = {}
        deadline = time.monotonic() + grace_seconds
        while self._running and time.monotonic() < deadline and not kill_now():
            exit_codes |= self.wait()
        for process in self._running.values():
            _signal_group(process, signal.SIGKILL)
            process.wait()
        return exit_codes | self.wait(0)

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """Copy the output that an ended pod left in its pipes."""
        for source in (process.stdout, process.stderr):
            assert source is not None
            key = self._selector.get_map().get(source)
            if key:
                self._selector.unregister(source)
                while key.data.copy():
                    pass
                key.data.flush()
            source.close()


class _Lines:
    """One pipe of one pod, copied line by line with the pod's name as a prefix."""

    def __init__(self, pod: str, source: IO[bytes], target: Any, shown: Callable[[str], str]) -> None:
        self._prefix, self._source, self._target, self._shown = f"{pod} | ", source, target, shown
        self._unfinished = b""

    def copy(self) -> bool:
        """Copy what can be read now. Return False when there is nothing or the pipe is closed."""
        data = self._source.read(1 << 16)
        *lines, self._unfinished = (self._unfinished + (data or b"")).split(b"\n")
        if len(self._unfinished) > LONGEST_LINE_BYTES:
            lines, self._unfinished = [*lines, self._unfinished], b""
        self._write(lines)
        return bool(data)

    def flush(self) -> None:
        """Copy the last line where it does not end in a newline."""
        self._write([self._unfinished] if self._unfinished else [])

    def _write(self, lines: list[bytes]) -> None:
        if lines:
            texts = (line.decode(errors="backslashreplace") for line in lines)
            self._target.write("".join(f"{self._prefix}{self._shown(text)}\n" for text in texts))
            self._target.flush()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _die_with_parent() -> Any:
    """Return a preexec_fn that makes the kernel kill the child when the launcher dies."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG
