"""``python -m trainer.check``: compile a run's own steps for a TPU slice that is not here.

The TPU compiler of the ``libtpu`` wheel needs no TPU. Without ``--code`` the check ends when the program is
laid out. The result is JSON on stdout (trainer/check/result.py). On stderr, lines that begin with
``progress:`` name the current stage; the rest is the compiler's log.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable

# Set before jax is imported: JAX looks for no TPU, and two checks may run side by side.
os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}

from trainer.arguments import Parser, parse
from trainer.check import steps
from trainer.check.result import STEPS
from trainer.cost import tpu_layout
from trainer.errors import ERROR, TrainError
from trainer.runtime.exit import leave
from trainer.runtime.streams import reserve_stdout


def main(arguments: list[str]) -> int:
    """Check a run and return the exit code: 0 with JSON on stdout, or that of the error.

    Args:
      arguments: flags of the check, "--", flags of the trainer.
    """
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    flags = parser()
    try:
        args = flags.parse_args(arguments[:cut])
        if not args.estimate and not (args.topology and args.host_bounds):
            flags.error("--topology and --host-bounds: must be set without --estimate")
        config = parse([*arguments[cut + 1 :], "--run-dir", "unused"])
        # The compiler may still be writing to the folder when it is removed.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            tpu_layout.dump_to(folder)
            args.folder = folder
            print(json.dumps(steps.check(config, args)))
        return 0
    except TrainError as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return error.exit_code


def parser() -> Parser:
    """Return the parser of the check's own flags."""
    parser = Parser(prog="python -m trainer.check", description="Compile for a TPU slice that is not here.")
    parser.add_argument(
        "--estimate",
        type=like(r"[a-z]+:[1-9][0-9]*", "gpu:8"),
        default="",
        metavar="PLATFORM:DEVICES",
        help="estimate without a compiler, as for gpu:8",
    )
    parser.add_argument(
        "--topology",
        type=like(r"[a-z0-9]+:[0-9]+(x[0-9]+)*", "v4:2x2x4"),
        default="",
        help="topology of a slice, named as in jax.experimental.topologies: v4:2x2x4",
    )
    parser.add_argument(
        "--host-bounds",
        type=like(r"[0-9]+(x[0-9]+)*", "2x2x1"),
        default="",
        metavar="CHIPS",
        help="chips per host along each axis: 2x2x1",
    )
    parser.add_argument(
        "--chip-config",
        default="default",
        metavar="NAME",
        help="megacore where the two cores of a chip are one device",
    )
    parser.add_argument(
        "--wrap",
        type=like(r"[01](x[01])*", "1x1x0"),
        default="",
        metavar="AXES",
        help="axes that close to a ring, 1 or 0 for each: 1x1x0",
    )
    parser.add_argument("--slices", type=int, default=1, metavar="NUMBER", help="number of slices")
    parser.add_argument("--steps", default=",".join(STEPS), help="steps to check (default: %(default)s)")
    parser.add_argument("--code", action="store_true", help="generate the code too, as a run does")
    return parser


def like(pattern: str, example: str) -> Callable[[str], str]:
    """Return a reader of flags that refuses a value of another form; "" stands for a flag that is not set."""

    def read(text: str) -> str:
        if text and not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"must be of the form {example}, got {text!r}")
        return text

    return read


def end_with(parent: int) -> None:
    """End this process soon after its parent ends: nobody would read the result."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    reserve_stdout()
    leave(main(sys.argv[1:]))
