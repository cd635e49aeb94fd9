"""Largest differences from torchvision and timm on the same weights, network by network.

    python bench/parity.py

Their results are in tests/trainer/models/parity.json, which tools/parity_goldens.py writes with PyTorch. A
case that differs by more than the tests allow stops the command with an error. The gradients of deep
pre-activation networks are compared in float64.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
CHECKOUT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests" / "trainer" / "models")]

import test_parity  # noqa: E402


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print("| network | largest difference of a logit | relative difference of the gradient's norm |")
    print("| --- | ---: | ---: |")
    for case in test_parity.WANTED:
        logit, gradient = test_parity.compare(case)
        wide = ", gradient in float64" if case in test_parity.DEEP else ""
        print(f"| {case}{wide} | {logit:.1e} | {gradient:+.1e} |", flush=True)


if __name__ == "__main__":
    main()
