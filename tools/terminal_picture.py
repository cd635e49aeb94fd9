"""Draw commands and their output as they stand in a terminal, as SVG on stdout.

    python tools/terminal_picture.py 'resnet-launch status NAME' 'resnet-launch list' > docs/images/status.svg

The commands are run here and now: the picture shows what they print.
"""

import io
import re
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

FONT_FILES = re.compile(r"@font-face \{.*?\}", re.DOTALL)  # fetched from another server


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
    shown.rstrip()
    width = max(len(line) for line in shown.plain.splitlines())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(shown, soft_wrap=True)
    svg = FONT_FILES.sub("", console.export_svg(title="", unique_id="terminal"))
    return (
        "\n".join(
            line.rstrip() for line in svg.replace("Fira Code", "monospace").splitlines() if line.strip()
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.stdout.write(picture(sys.argv[1:]))
