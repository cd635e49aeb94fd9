"""``python -m trainer.pull RUN OUT``: a run on this machine; `resnet-launch pull` starts it.

Exit codes: 0 done, 1 the run could not be copied, 2 the command line was wrong.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer import paths
from trainer.arguments import Parser
from trainer.errors import ERROR, HINT, ConfigError, TrainError, reason
from trainer.pull import choice, copying
from trainer.pull.source import Source
from trainer.rundir import reachable
from trainer.runtime.environment import Variable
from trainer.runtime.streams import quieten, reserve_stdout

PROGRAM = os.environ.get(Variable.PROGRAM) or "python -m trainer.pull"


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        run(parser().parse_args(arguments))
    except TrainError as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except OSError as error:
        print(f"{ERROR}{reason(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{ERROR}interrupted\n{HINT}the same command goes on with what is there", file=sys.stderr)
        return 1
    return 0


def parser() -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        prog=PROGRAM,
        description="Copy the small files of a run to this machine, and a checkpoint where it is asked for.",
        epilog=f"example:\n  {PROGRAM} gs://my-bucket/first first --checkpoint best",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="directory of the run: a path or gs://…")
    parser.add_argument(
        "out", metavar="OUT", help="folder to copy to, a new one or an earlier copy of the run"
    )
    parser.add_argument("--checkpoint", choices=choice.CHOICES, help="also copy this checkpoint")
    return parser


def run(args: argparse.Namespace) -> None:
    """Carry out a parsed command line."""
    source = Source(paths.absolute("RUN", args.run).rstrip("/"))
    out = Path(paths.absolute("OUT", args.out))
    reachable.require(source.address)
    top = source.top()
    if not {"config.json", "events.jsonl"} & set(top):
        raise ConfigError(
            f"RUN: must be the directory of a run, got '{source.address}' without a config.json"
        )
    chosen = choice.checkpoint(source, args.checkpoint) if args.checkpoint else None
    copying.prepare(source, out)
    copying.small(source, top.values(), out, show)
    files = sum(name in copying.SMALL for name in top)
    if chosen is None:
        print(f"{out}: {files} files of {source.address}")
        return
    step, entries = chosen
    show(f"checkpoint {step}: {sum(entry.size for entry in entries) / 1e6:,.1f} MB")
    folder = copying.checkpoint(source, step, entries, out, show)
    _verify(folder, step)
    whole = out / choice.CHECKPOINTS / str(step)
    if folder != whole:
        os.rename(folder, whole)
    print(f"{out}: {files} files of {source.address} and checkpoint {step}, whose checksums are right")


def _verify(folder: Path, step: int) -> None:
    """Compare the arrays of a copied checkpoint with their checksums.

    Raises:
      DamagedError: one differs, or the checkpoint cannot be read.
    """
    from trainer.devices.attached import prefer_cpu
    from trainer.runtime.accelerators import use_cpu_without_others

    use_cpu_without_others(os.environ)
    prefer_cpu(os.environ)
    from trainer.rundir import checkpoints  # JAX takes seconds

    checkpoints.verify(folder, step)


def show(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    quieten(os.environ)
    reserve_stdout()
    sys.exit(main(sys.argv[1:]))
