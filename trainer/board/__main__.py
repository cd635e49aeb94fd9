"""``python -m trainer.board DIR…``: one page over many runs; `resnet-launch board` starts it.

Exit codes: 0 done, 1 a folder could not be read, 2 the command line was wrong.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer import paths
from trainer.arguments import Parser
from trainer.board import collection, listing, page
from trainer.board.folders import Folder
from trainer.board.row import Row
from trainer.errors import ERROR, ConfigError, TrainError, printable, reason
from trainer.rundir import reachable
from trainer.runtime.environment import Variable
from trainer.runtime.streams import quieten, reserve_stdout

PROGRAM = os.environ.get(Variable.PROGRAM) or "python -m trainer.board"
OUT = "board.html"


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        run(parser().parse_args(arguments))
    except TrainError as error:
        print(f"{ERROR}{error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def parser() -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        prog=PROGRAM,
        description="Write one page over all runs below some folders: a table to sort and filter, curves of "
        "the chosen runs laid over each other, their settings side by side.",
        epilog=f"example:\n  {PROGRAM} runs -o board.html",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="folder with run directories below it: a path or gs://…"
    )
    parser.add_argument("-o", "--out", metavar="FILE", help=f"page to write (default: {OUT})")
    parser.add_argument(
        "--serve",
        type=int,
        metavar="PORT",
        help="serve the page on this machine instead, always as the runs are now; 0: a free port",
    )
    parser.add_argument("--json", action="store_true", help="print the runs as JSON instead, without curves")
    parser.add_argument("--text", action="store_true", help="print a table and the means over seeds instead")
    parser.add_argument("--no-cache", action="store_true", help="read every run again")
    # JAX's kind of a device -> its devices per chip, and the price of one chip per hour; from the launcher.
    parser.add_argument("--chips", type=_chips, default={}, help=argparse.SUPPRESS)
    return parser


def run(args: argparse.Namespace) -> None:
    """Carry out a parsed command line."""
    if sum((args.out is not None, args.serve is not None, args.json, args.text)) > 1:
        raise ConfigError("--out: must be alone, got another of --out, --serve, --json and --text too")
    roots = [paths.absolute("DIR", folder) for folder in args.folders]
    for root in roots:
        reachable.require(root)
    title = ", ".join(map(printable, args.folders))

    def rows() -> list[Row]:
        return [_costed(row, args.chips) for row in collection.collect(roots, not args.no_cache)]

    if args.json:
        listed = [{key: value for key, value in row.items() if key != "curves"} for row in rows()]
        print(json.dumps(listed, indent=2))
    elif args.text:
        print("\n".join(listing.lines(rows())))
    elif args.serve is not None:
        _serve(args.serve, rows, title)
    else:
        out = Path(paths.absolute("--out", args.out or OUT))
        if not out.parent.is_dir():
            raise ConfigError(f"--out: must be in an existing folder, got '{printable(str(out))}'")
        runs = rows()
        text = page.render(runs, title, page.links(runs, str(out.parent)))
        try:
            out.write_text(text, encoding="utf-8")  # the reader's own file, which may be a link or a pipe
        except OSError as error:
            raise ConfigError(f"--out: cannot write '{printable(str(out))}': {reason(error)}") from None
        print(f"{out}: {len(runs):,} run{'s' * (len(runs) != 1)}")


def _serve(port: int, rows: Any, title: str) -> None:
    from trainer.board.serve import Server

    rows()  # so that a wrong folder is an error before the port is open
    server = Server(port, rows, lambda runs, links: page.render(runs, title, links), _report)
    print(f"{server.address} (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print(file=sys.stderr)
    finally:
        server.server_close()


def _report(row: Row) -> str:
    """Return the text of a run's report."""
    return Folder(row["address"], {"report.html": (0, "")}).read("report.html")


def _costed(row: Row, chips: dict[str, dict[str, float]]) -> Row:
    """Return a row with its chips, chip-hours and cost, where its kind of device is known."""
    kind = chips.get(row.get("device_kind", ""), {})
    per_chip = kind.get("devices_per_chip", 1)
    result = dict(row)
    if "devices" in row:
        result["chips"] = row["devices"] // per_chip
    if "device_hours" in row:
        result["chip_hours"] = row["device_hours"] / per_chip
        if "price" in kind:
            result["cost"] = round(result["chip_hours"] * kind["price"], 4)
    return result


def _chips(text: str) -> dict[str, dict[str, float]]:
    return json.loads(text)


if __name__ == "__main__":
    quieten(os.environ)
    reserve_stdout()
    sys.exit(main(sys.argv[1:]))
