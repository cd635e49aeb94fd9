"""The runs of a sweep as processes of this machine, a few at a time; what has finished is not run again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launcher import files
from launcher.errors import ActionError

RECORD = "sweep.json"  # name of a run -> the arguments with which it has finished
POLL_SECONDS = 0.2


def run(
    folder: Path,
    commands: Mapping[str, Sequence[str]],
    parallel: int,
    environ: Mapping[str, str],
    show: Callable[[str], None],
) -> list[str]:
    """Run `resnet-launch local` for each run that has not finished yet; return the names that failed.

    Ctrl-C and SIGTERM reach the runs, which save and end; a later call goes on with them.

    Args:
      folder: of the sweep; each run has a folder in it, and NAME.log with what it printed.
      commands: name of a run -> arguments of `resnet-launch`.
      parallel: runs at a time.
      environ: of the runs.
      show: is called with a line for each run that begins or ends.

    Raises:
      ActionError: the folder cannot be written.
      KeyboardInterrupt: the user stopped the sweep; every run has ended.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        finished = _read(folder)
    except OSError as error:
        raise ActionError(f"cannot write {folder}: {error.strerror}", "--run-dir DIR") from None
    waiting = []
    for name, arguments in commands.items():
        if finished.get(name) == list(arguments):
            show(f"{name} had finished")
        else:
            waiting.append(name)
    failed: list[str] = []
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                name = waiting.pop(0)
                running[name] = _start(folder / f"{name}.log", commands[name], environ)
                show(f"{name} begins")
            for name in [name for name, process in running.items() if process.poll() is not None]:
                code = running.pop(name).returncode
                if code == 0:
                    finished[name] = list(commands[name])
                    _write(folder, finished)
                    show(f"{name} finished")
                else:
                    failed.append(name)
                    show(f"{name} failed with exit code {code}: {folder / f'{name}.log'}")
            time.sleep(POLL_SECONDS)
    except BaseException:
        _stop(running)
        raise
    return failed


def _start(log: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # -P: no module of the current directory takes the place of an installed one.
    command = [sys.executable, "-P", "-m", "launcher", *arguments]
    try:
        with log.open("ab") as file:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=dict(environ),
                process_group=0,  # Ctrl-C reaches this process alone, which passes one signal on
            )
    except OSError as error:
        raise ActionError(f"cannot write {log}: {error.strerror}", "--run-dir DIR") from None


def _stop(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Ask every run to save and end, and wait for that; a second signal to this process kills them."""
    for process in running.values():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    try:
        for process in running.values():
            process.wait()
    except KeyboardInterrupt:
        for process in running.values():
            process.send_signal(signal.SIGTERM)  # the second one: `local` kills its pods
        for process in running.values():
            process.wait()


def _read(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    try:
        files.write(folder / RECORD, json.dumps(record, indent=1))
    except OSError as error:
        raise ActionError(f"cannot write {folder / RECORD}: {error.strerror}") from None
