"""Everything that is to be measured on one GPU, in one command of under eight minutes.

    python bench/gpu.py [--out gpu.json] [--minutes 8] [--parts ours torch] [--torch-python PYTHON] [--tiny]

Training steps at 224 pixels in bfloat16, ours beside torchvision's and timm's in PyTorch, each lever alone,
memory as the device counts it beside what `check` estimates, the loop, a save, `local-gpu` and Fashion-MNIST.
Each part is a process of its own with its own time limit, and what is missing is skipped with the reason. The
JSON file is written anew after each part, so that nothing is lost when the machine goes. `--tiny` runs every
part at a size for a CPU, which proves the commands and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu_parts import HERE, REAL, TINY, Part, parts
from gpu_table import Rows, row, table


def measured(part: Part, python: str, seconds: float) -> dict[str, Any]:
    """Run a part for at most so many seconds; return its figures, or why there are none."""
    if part.missing:
        return {"skipped": part.missing}
    if seconds < 10:
        return {"skipped": "no time left"}
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{os.environ.get('PYTHONPATH', '')}"}
    limit = min(part.limit, seconds)
    # Into files and not pipes: a part that hangs with children of its own must not hold this process.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [python, *part.command],
            env=environment | dict(part.environment),
            stdout=out,
            stderr=errors,
            cwd=HERE.parent,
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return {"skipped": f"not done in {limit:.0f} s"}
        out.seek(0)
        errors.seek(0)
        text, cause = out.read(), errors.read()
    if code:
        lines = [line for line in cause.splitlines() if line.strip()]
        return {"failed": lines[-1][:300] if lines else f"exit code {code}", "stderr": cause[-3000:]}
    return figures(part, text)


def figures(part: Part, text: str) -> dict[str, Any]:
    """Return what a part printed: the last line that is a JSON object, or else its last lines."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return {"text": text[-3000:]}


def has_gpu(python: str) -> bool:
    """Return whether JAX sees a GPU, asked in a process of its own that frees it again."""
    code = "import jax; print(jax.default_backend())"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=120)
    return done.stdout.strip() == "gpu"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    groups = ["ceilings", "ours", "torch", "vit", "check", "fashion", "local", "levers", "loop", "save"]
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file (default: gpu.json)")
    parser.add_argument("--minutes", type=float, default=8, help="no part runs past it (default: 8)")
    parser.add_argument("--parts", nargs="+", choices=groups, default=groups, help="groups (default: all)")
    parser.add_argument(
        "--torch-python", default=sys.executable, help="Python with torch (default: this one)"
    )
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--tiny", action="store_true", help="small sizes, also on a CPU")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    gpu = has_gpu(sys.executable)
    if not gpu and not args.tiny:
        parser.error("JAX sees no GPU here; --tiny runs every part at a small size on a CPU")
    rows: Rows = []
    with tempfile.TemporaryDirectory() as run_dir:
        for part in parts(TINY if args.tiny else REAL, args.torch_python, args.fashion, gpu, run_dir):
            if part.group not in args.parts:
                continue
            started = time.monotonic()
            python = args.torch_python if part.pytorch else sys.executable
            result = measured(part, python, end - started)
            result["wall_seconds"] = round(time.monotonic() - started, 1)
            rows.append((part, result))
            args.out.write_text(
                json.dumps([{"part": p.name, "command": p.command, **r} for p, r in rows], indent=1) + "\n"
            )
            print(f"{part.name}: {row(part, result, rows)['note']}", file=sys.stderr, flush=True)
    devices = sorted({result["device"] for _, result in rows if "device" in result})
    print(f"{', '.join(devices) or 'no device'}; {time.strftime('%Y-%m-%d')}; python bench/gpu.py\n")
    print(table(rows))


if __name__ == "__main__":
    main()
