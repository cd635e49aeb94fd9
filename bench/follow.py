"""Follow a run through a proxy that cuts, delays, truncates and answers 429, 500, 502 and HTML at random.

    python bench/follow.py [--seconds 300] [--lines 10000] [--hosts 2] [--share 0.3] [--seed 17]

`logs -f`, `wait` and, again and again, `status` run as processes against an API server on this machine whose
hosts print lines all the time. Prints what was lost, doubled, wrong or hanging, which should be nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "launcher"))

import soak  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the run")
    parser.add_argument("--lines", type=int, default=10_000, help="lines of each host")
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.3, help="of the requests that get a fault")
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        report = soak.soak(Path(folder), args.hosts, args.lines, args.seconds, args.seed, args.share)
    print(f"{args.hosts} hosts, {report.lines} lines, {args.seconds:.0f} s, seed {args.seed}")
    print(f"{sum(report.faults.values())} requests")
    faults = {fault: count for fault, count in sorted(report.faults.items()) if fault != "none"}
    print("faults: " + ", ".join(f"{fault} {count}" for fault, count in faults.items()))
    print("| | |\n| --- | --- |")
    for name in ("lost", "doubled", "misplaced", "hangs"):
        print(f"| {name} | {getattr(report, name)} |")
    print(f"| wrong answers | {len(report.wrong)} |")
    for command, codes in report.codes.items():
        shown = ", ".join(f"code {code}: {count}" for code, count in sorted(codes.items()))
        print(f"| `{command}` | {shown} |")
    for text in report.wrong[:10]:
        print(f"wrong: {text}")
    if report.lost or report.doubled or report.misplaced or report.hangs or report.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
