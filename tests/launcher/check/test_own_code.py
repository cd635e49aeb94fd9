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


def check(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    cache = {"RESNET_CACHE": str(folder / "cache"), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "launcher", *LINE.split(), *flags],
        cwd=folder,
        env={**os.environ, **cache},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 7])
def test_a_module_that_ends_the_process_is_named(tmp_path: Path, code: int) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "its_network.py").write_text(f"import os\nos._exit({code})\n")
    done = check(tmp_path, "--code", "tree")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: the compilation ended without a result or a reason, with exit code {code}: "
        "the code of the network its_network:net may have ended its process"
    )


@pytest.mark.slow
def test_a_network_of_the_tree_is_found_with_code_and_not_without(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "its_network.py").write_text(NETWORK)
    for flags, code in (([], 2), (["--code", str(tree)], 0)):
        done = check(tmp_path, *flags)
        assert (done.returncode == 0) == (code == 0), done.stderr
        assert "not checked here" not in done.stderr
    assert "its_network:net on cpu-1x1" in done.stdout
    assert os.listdir(tree) == ["its_network.py"]
