"""uv as a program: it resolves and installs packages for another processor and another Python than these."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from launcher import extras
from launcher.errors import ActionError
from launcher.image import package_index


class Failure(Exception):
    """What uv says: the causes as one text, and its hint."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text, self.hint = text, hint


def program() -> str:
    """Return the path of uv: that of this Python, else the one on PATH.

    Raises:
      ActionError: there is none.
    """
    own = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    path = str(own) if own.is_file() else shutil.which("uv")
    if not path:
        raise extras.lacking("image", "`image build` needs uv, which is not installed here")
    return path


def version() -> str:
    """Return the version of uv."""
    return _run("--version").split()[1]


def python(wanted: tuple[int, int]) -> str:
    """Return the path of a Python of this machine, or an empty string; none is downloaded."""
    try:
        return _run("python", "find", "--no-project", "--quiet", ".".join(map(str, wanted))).strip()
    except (Failure, ActionError):
        return ""


def run(*arguments: str, folder: Path) -> str:
    """Run `uv pip …` in a folder and return its standard output.

    Raises:
      Failure: uv reports an error.
      ActionError: uv cannot be run.
    """
    return _run("pip", *arguments, folder=folder)


def _run(*arguments: str, folder: Path | None = None) -> str:
    environ = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "FORCE_COLOR")
    }
    environ |= package_index.environment(os.environ)
    environ |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1", "UV_NO_WRAP": "1"}
    try:
        done = subprocess.run(
            [program(), *arguments], capture_output=True, text=True, errors="replace", env=environ, cwd=folder
        )
    except OSError as error:
        raise extras.lacking("image", f"cannot run uv: {error.strerror}") from None
    if done.returncode:
        raise _failure(done.stderr)
    return done.stdout


def _failure(text: str) -> Failure:
    """Return the error among what uv prints, without its warnings."""
    paragraphs = re.split(r"^(?=(?:error|warning|hint): )", text, flags=re.MULTILINE)
    errors = [" ".join(part.split()) for part in paragraphs if part.startswith("error: ")]
    hints = [" ".join(part.split()) for part in paragraphs if part.startswith("hint: ")]
    message = errors[0].removeprefix("error: ") if errors else " ".join(text.split())[-400:] or "no output"
    message = re.sub(r"^No solution found when resolving dependencies\b:? ?", "", message)
    message = re.sub(r"(^|\s)[×╰─▶]*\s*(?:cause: )", r"\1", message).strip()
    return Failure(message, hints[0].removeprefix("hint: ") if hints else "")
