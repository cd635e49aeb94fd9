"""Draw commands and their output as they stand in a terminal, as SVG on stdout.

    python tools/terminal_picture.py 'resnet-launch status NAME' 'resnet-launch list' > docs/images/status.svg
    python tools/terminal_picture.py --screen 104x32 'resnet-launch watch --local' > docs/images/watch.svg

The commands are run here and now: the picture shows what they print. With ``--screen COLUMNSxROWS`` one
command gets a terminal of that size, and the picture is the last screen that it drew before it got ``q``.
``--keys`` are typed two seconds earlier.
"""

import argparse
import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

FONT_FILES = re.compile(r"@font-face \{.*?\}", re.DOTALL)  # fetched from another server
FIRST = "\x1b[1;1H"  # begins each screen that is drawn over the last one
KEYS_SECONDS = 2.0
LINE = re.compile(r"\x1b\[[0-9]+;1H")  # begins each other line


def picture(commands: Sequence[str]) -> str:
    """Return an SVG of these shell commands with their output, stdout and stderr together.

    Raises:
      subprocess.CalledProcessError: a command failed.
    """
    shown = Text()
    for command in commands:
        done = subprocess.run(
            command, shell=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        shown.append("$ ", "green").append(f"{command}\n", "bold").append(done.stdout.rstrip() + "\n\n")
    return _svg(shown)


def screen(command: str, columns: int, rows: int, seconds: float, keys: str = "") -> str:
    """Return an SVG of the screen that a command draws in a terminal of this size.

    Args:
      seconds: time from its start until it gets `q`.
      keys: typed KEYS_SECONDS before that.
    """
    written = _written(command, columns, rows, [(seconds - KEYS_SECONDS, keys), (seconds, "q")])
    drawn = written.rpartition(FIRST)[2]
    shown = Text.assemble(("$ ", "green"), (f"{command}\n", "bold"))
    for line in LINE.split(drawn):
        shown.append_text(Text.from_ansi(line).append("\n"))
    return _svg(shown, columns)


def _written(command: str, columns: int, rows: int, typed: Sequence[tuple[float, str]]) -> str:
    """Return what a shell command writes to a terminal until it ends.

    Args:
      typed: seconds after its start, and the keys that it then gets.
    """
    terminal, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(
        command, shell=True, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True
    )
    os.close(other)
    written, begun, waiting = b"", time.monotonic(), [*typed]
    while True:
        if waiting and time.monotonic() - begun > waiting[0][0]:
            os.write(terminal, waiting.pop(0)[1].encode())
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            written += os.read(terminal, 65536)
        except OSError:  # the command has closed it
            break
    process.wait()
    return written.decode().partition("\x1b[?25h")[0]  # what follows stands on the first screen


def _svg(shown: Text, width: int = 0) -> str:
    shown.rstrip()
    width = width or max(len(line) for line in shown.plain.splitlines())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(shown, soft_wrap=True)
    svg = FONT_FILES.sub("", console.export_svg(title="", unique_id="terminal"))
    return (
        "\n".join(
            line.rstrip() for line in svg.replace("Fira Code", "monospace").splitlines() if line.strip()
        )
        + "\n"
    )


def main(arguments: Sequence[str]) -> str:
    parser = argparse.ArgumentParser(description="Draw commands and their output, as SVG on stdout.")
    parser.add_argument("--screen", metavar="COLUMNSxROWS", help="terminal of a command that draws a screen")
    parser.add_argument("--seconds", type=float, default=8, help="after which it gets `q`")
    parser.add_argument("--keys", default="", help="typed before that, such as j for the next run")
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    args = parser.parse_args(arguments)
    if not args.screen:
        return picture(args.commands)
    if len(args.commands) > 1:
        parser.error("--screen: must have one command")
    columns, rows = map(int, args.screen.split("x"))
    return screen(args.commands[0], columns, rows, args.seconds, args.keys)


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]))
