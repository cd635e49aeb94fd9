"""The tests of launcher and trainer on each supported Python of this machine: `make test-pythons`.

`python tools/pythons.py 3.12 3.13 -- FLAGS OF PYTEST` makes an environment in build/pythons/VERSION from the
pins and runs pytest in it. uv finds or installs the interpreter, and those of pyenv are found too. A Python
that this machine lacks is named and skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "build" / "pythons"
TESTS = ["tests/launcher", "tests/trainer"]
INSTALL_SECONDS = 120  # longest wait for an interpreter that uv downloads


class Failure(Exception):
    """An environment that cannot be made: one line that says why."""


def interpreter(version: str) -> str | None:
    """Return the path of a Python: of uv's list, of pyenv's folder, or downloaded; None if there is none."""
    search = ["uv", "python", "find", "--no-project", "--system"]
    if path := _output([*search, "--no-python-downloads", version]):
        return path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for path in sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True):
        if _output([str(path), "-c", "print(1)"]):
            return str(path)
    if _output(["uv", "python", "install", "--quiet", version]) is not None:
        return _output([*search, version])
    return None


def environment(version: str, python: str) -> Path:
    """Return the interpreter of a ready environment; one that cannot be completed is removed.

    Raises:
      Failure: uv could not resolve or install the pins.
    """
    folder = ENVIRONMENTS / version
    ready, bin_python = folder / ".ready", folder / "bin" / "python"
    pins = [ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    if ready.exists() and all(ready.stat().st_mtime > path.stat().st_mtime for path in pins):
        return bin_python
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _uv("venv", "--quiet", "--python", python, str(folder))
        compile = ["pip", "compile", "--quiet", "--python", str(bin_python), "--no-annotate", "--no-header"]
        resolved = _uv(*compile, "--extra", "dev", "--constraints", "constraints.txt", "pyproject.toml")
        tool = [sys.executable, "tools/requirements.py", "constraints.txt"]
        hashed = subprocess.run(tool, input=resolved, capture_output=True, text=True, cwd=ROOT)
        if hashed.returncode:
            raise Failure(hashed.stderr.strip())
        (folder / "requirements.txt").write_text(hashed.stdout)
        install = ["pip", "install", "--quiet", "--python", str(bin_python)]
        hashes = ["--require-hashes", "--only-binary", ":all:"]
        _uv(*install, *hashes, "--requirement", str(folder / "requirements.txt"))
        _uv(*install, "--no-deps", "--no-build-isolation", "--editable", ".")
        ready.touch()
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):  # a disk without room
            raise Failure(str(error)) from None
        raise
    return bin_python


def main(arguments: list[str]) -> int:
    """Run the tests on each named Python and print a line for each; return 1 where one of them failed."""
    versions, flags = arguments, []
    if "--" in arguments:
        place = arguments.index("--")
        versions, flags = arguments[:place], arguments[place + 1 :]
    # Options of tests stand beside paths; paths take the place of these two folders.
    has_paths = any(flag and (ROOT / flag.partition("::")[0]).exists() for flag in flags)
    chosen = flags if has_paths else [*TESTS, *flags]
    lines, failed, ran = [], False, False
    for version in versions:
        python = interpreter(version)
        if python is None:
            lines.append(f"Python {version}: skipped, no interpreter here (uv python install {version})")
            continue
        try:
            command = [str(environment(version, python)), "-m", "pytest", *chosen]
            code = subprocess.run(command, cwd=ROOT).returncode
            ran = True
        except Failure as error:
            lines.append(f"Python {version}: no environment: {error}")
            failed = True
            continue
        lines.append(f"Python {version}: {'passed' if code == 0 else f'failed, pytest ended with {code}'}")
        failed |= code != 0
    print("\n".join(lines))
    return int(failed or not ran)


def _uv(*arguments: str) -> str:
    done = subprocess.run(["uv", *arguments], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        reasons = [line.strip(" ×╰─▶├│") for line in done.stderr.splitlines() if line.strip()]
        causes = [line for line in reasons if not line.startswith(("hint:", "warning:"))]
        raise Failure(": ".join([f"uv {' '.join(arguments[:2])}", *causes[:1], *causes[-1:]][:3]))
    return done.stdout


def _output(command: list[str]) -> str | None:
    """Return what a command prints, or None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    # uv of this environment, not one of the machine's.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sys.exit(main(sys.argv[1:]))
