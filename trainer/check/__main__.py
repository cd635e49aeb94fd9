"""``python -m trainer.check``: compiles a run's own steps for a TPU slice that is not here; JSON on stdout.

The TPU compiler of the ``libtpu`` wheel needs no TPU. As long as the code itself is not asked for, the
compiler is left when it has laid the program out. Lines on stderr that begin with ``progress:`` say how far
it is; everything else there is the compiler's own log.
"""

import json
import os
import sys
import tempfile
import threading
import time

# Before jax is imported: no TPU is looked for, and two checks may run side by side.
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


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 with JSON on stdout, or that of the error."""
    cut = arguments.index("--")
    parser = Parser(prog="python -m trainer.check", description="Compile for a TPU slice that is not here.")
    parser.add_argument("--estimate", default="", help="compile nothing, for devices of a platform: gpu:8")
    parser.add_argument("--topology", default="", help="as jax.experimental.topologies spells it: v4:2x2x4")
    parser.add_argument("--host-bounds", default="", help="chips of a host: 2x2x1")
    parser.add_argument("--chip-config", default="default", help="megacore where both cores are one device")
    parser.add_argument("--wrap", default="", help="axes that are rings, as in 1x1x0")
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--steps", default=",".join(STEPS), help="which of the two steps")
    parser.add_argument("--code", action="store_true", help="generate the code too, as a run will")
    try:
        parsed = parser.parse_args(arguments[:cut])
        config = parse([*arguments[cut + 1 :], "--run-dir", "unused"])
        # The compiler that is left at work may still be writing when the folder goes.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            tpu_layout.dump_to(folder)
            parsed.folder = folder
            print(json.dumps(steps.check(config, parsed)))
        return 0
    except TrainError as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return error.exit_code


def end_with(parent: int) -> None:
    """Ends this process soon after the one that asked: nobody would read the answer."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    leave(main(sys.argv[1:]))
