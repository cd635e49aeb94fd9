"""Element types in which the compiled step adds up gradients between the chips of a slice.

    python bench/reduce.py [--arch resnet-tiny] [--topology v5e:2x2]

Needs the TPU compiler (extra `check`) but no TPU. Kernels are the weights of convolutions and the head.
Vectors are scales, shifts, the sums of BatchNorm, loss and accuracy.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")

from trainer.check.__main__ import steps  # it prepares the environment, before jax is imported
from trainer.config import TrainConfig, resolve
from trainer.cost import collectives, hlo, tpu_layout
from trainer.devices import compilation, mesh
from trainer.program import make_program

Reduced = dict[tuple[str, str], tuple[int, int]]


def reduced(config: TrainConfig, slice: argparse.Namespace, folder: str) -> Reduced:
    """Return (kernels or vectors, element type) -> number of all-reduced arrays and their bytes."""
    grid = mesh.make_mesh(1, steps.topology(slice))
    train, test, _ = steps.sources(config.data)
    program = make_program(config, train, test, "tpu")
    batch = compilation.batch_shapes(steps.samples(config, train, test)["train"], config.train.batch)
    lowered = compilation.lower_train(program.train_step, program.shapes, batch, grid)
    text = tpu_layout.lay_out(lowered, folder, "train_step").text
    number, size = Counter(), Counter()
    for instruction in collectives.COLLECTIVE.finditer(text):
        shape = instruction["shape"] if instruction["kind"] == "all-reduce" else ""
        for array in hlo.ARRAY.finditer(shape):
            axes = sum(length not in ("", "1") for length in array["dims"].split(","))
            key = ("kernels" if axes > 1 else "vectors", array["type"])
            number[key] += 1
            size[key] += hlo.array_bytes(array)
    return {key: (number[key], size[key]) for key in sorted(number)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet-tiny", help="network (default: resnet-tiny)")
    parser.add_argument("--topology", default="v5e:2x2", help="four chips of one host (default: v5e:2x2)")
    parser.add_argument("--grad-dtype", default="", help="measure only this row, in this process")
    args = parser.parse_args()
    slice = argparse.Namespace(
        topology=args.topology, host_bounds="2x2x1", chip_config="default", wrap="", slices=1
    )
    if args.topology.startswith(("v4", "v5:")):
        slice.chip_config = "megacore"
    if args.grad_dtype:
        settings = {"model.arch": args.arch, "model.grad_dtype": args.grad_dtype, "train.batch": 32}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            tpu_layout.dump_to(folder)
            config = resolve("bench", "/unused", "", settings, {"data.image_size": 64})
            for (arrays, dtype), (number, size) in reduced(config, slice, folder).items():
                print(f"| {args.grad_dtype} | {arrays} | {dtype} | {number} | {size:,} |", flush=True)
        os._exit(0)  # the compiler is still at work
    print("| model.grad_dtype | all-reduced | type | arrays | bytes |")
    print("| --- | --- | --- | ---: | ---: |", flush=True)
    for grad_dtype in ("auto", "float32"):
        command = [sys.executable, __file__, "--arch", args.arch, "--topology", args.topology]
        command += ["--grad-dtype", grad_dtype]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
