"""`check --code`: a network of the packed tree is traced, and the tree is left alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NETWORK = """
from flax import nnx
from trainer.models.architecture import architecture


class Net(nnx.Module):
    def __init__(self, features, classes, rngs):
        self.head = nnx.Linear(features, classes, rngs=rngs)

    def __call__(self, images, train: bool):
        return self.head(images.reshape(images.shape[0], -1))


@architecture()
def net(inputs, rngs):
    return Net(inputs.image_size**2 * inputs.channels, inputs.classes, rngs)
"""
LINE = (
    "check --no-cluster --estimate --slice cpu-1x1 --arch its_network:net --data digits --batch 8 --name own"
)


@pytest.mark.slow
def test_a_network_of_the_tree_is_found_with_code_and_not_without(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "its_network.py").write_text(NETWORK)
    command = [sys.executable, "-m", "launcher", *LINE.split()]
    environment = {
        **os.environ,
        "RESNET_CACHE": str(tmp_path / "cache"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for flags, code in (([], 2), (["--code", str(tree)], 0)):
        done = subprocess.run(
            [*command, *flags], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
        )
        assert (done.returncode == 0) == (code == 0), done.stderr
    assert "its_network:net on cpu-1x1" in done.stdout
    assert os.listdir(tree) == ["its_network.py"]
