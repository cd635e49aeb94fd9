"""1,500 seeded changes of weights files: each is refused in one line, or gives what it is without the change.

A reference, not ours, says what a change of a safetensors file gives: the library's own parser and numpy. In
a zip file of PyTorch every stored byte has a checksum. In its older files a change of a stored number is not
noticed by any reader, so the arrays must then be stored bytes.
"""

import json
import random
import resource
import struct
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from torch_files import Made, Name, legacy_file, ordered, tensor, zip_file

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.weights import torch_import, torch_names
from trainer.weights.file import Weights, describe, load

CASES = 375  # of each of four formats
MODEL, SIZE = ModelConfig(arch="resnet-tiny", width=1, stem="small"), 8
INTERESTING = [0, 1, 0x7F, 0x80, 0xFF, ord("("), ord("."), ord("R"), ord("Q"), ord("2"), ord("r"), ord("0")]


@pytest.fixture(scope="module")
def network():
    _, shapes = describe(MODEL, 2, 3, SIZE, "cpu")
    stream = np.random.RandomState(0)
    arrays = {name: stream.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    return torch_names.write(MODEL, arrays)


@pytest.fixture(scope="module")
def shapes():
    """The shapes of the network, computed once: each case would trace the network for half a second."""
    return describe(MODEL, 2, 3, SIZE, "cpu")


def changed(content, chance):
    """Return a file with one to three changes: flipped, inserted, removed or repeated bytes, a cut."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        # Most of a file is numbers: half of the changes go where the structure is, at either end.
        ends = min(len(content), 2000)
        anywhere, end = chance.randrange(len(content)), chance.randrange(ends)
        place = chance.choice([anywhere, end, len(content) - 1 - end])
        size = chance.choice([1, 1, 2, 4, 8, 64])
        match chance.randrange(7):
            case 0:
                content[place] ^= 1 << chance.randrange(8)
            case 1:
                content[place] = chance.choice(INTERESTING)
            case 2:
                content[place:place] = bytes(chance.choices(INTERESTING, k=size))
            case 3:
                del content[place : place + size]
            case 4:
                content[place:place] = content[place : place + size]
            case 5:
                del content[max(place, 1) :]
            case 6:
                number = struct.pack("<q", chance.choice([-1, -(2**31), 2**31 - 1, 2**63 - 1, 1 << 40]))
                content[place : place + 4] = number[:4]
    return bytes(content)


def write_safetensors(path, network):
    save_file(network, path)
    return path


def write_zip(path, network):
    return zip_file(path, value(network))


def write_legacy(path, network):
    return legacy_file(path, value(network))


def value(network):
    args = Made(Name("argparse", "Namespace"), state={"lr": 0.1})
    return {"state_dict": ordered({n: tensor(a) for n, a in network.items()}), "epoch": 3, "args": args}


def imported(path, monkeypatch, shapes):
    with monkeypatch.context() as patch:
        patch.setattr(torch_import, "describe", lambda *_: shapes)
        return torch_names.write(MODEL, torch_import.load_torch(path, MODEL, SIZE).weights.arrays)


def check(error):
    """Check that an error is one line for a person, with the file, and a hint at most."""
    lines = str(error).splitlines()
    assert "x.bin" in lines[0], error
    assert len(lines) <= 2, error
    assert all(line.isprintable() for line in lines), repr(str(error))


def stored(arrays, content):
    """Return whether the elements of each array are somewhere in a file, whatever moved there."""
    return all(array.astype("<f4").tobytes() in content for array in arrays.values())


@pytest.mark.parametrize("write", [write_safetensors, write_zip, write_legacy])
def test_a_changed_file_of_another_library_is_refused_or_read_right(
    tmp_path, network, monkeypatch, shapes, write
):
    content = write(tmp_path / "x.bin", network).read_bytes()
    chance, path, slowest, kept = random.Random(15), tmp_path / "x.bin", 0.0, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in range(CASES):
        mutant = changed(content, chance)
        path.unlink()  # the old content may still be mapped
        path.write_bytes(mutant)
        start = time.monotonic()
        try:
            arrays = imported(path, monkeypatch, shapes)
        except ConfigError as error:
            check(error)
            continue
        finally:
            slowest = max(slowest, time.monotonic() - start)
        kept += 1
        if write is write_safetensors:
            reference = load_file(path)
            assert all(np.array_equal(a, reference[name]) for name, a in arrays.items()), case
        elif write is write_zip:
            assert all(np.array_equal(a, network[name]) for name, a in arrays.items()), case
        else:
            assert stored(arrays, mutant), case
    assert kept > 0  # else nothing but refusals was tried
    assert slowest < 5
    if sys.platform == "linux":  # elsewhere the unit is another
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10  # KiB


def test_a_changed_weights_file_is_refused_or_read_right(tmp_path):
    _, shapes = describe(MODEL, 2, 3, SIZE, "cpu")
    stream = np.random.RandomState(0)
    arrays = {name: stream.uniform(0.1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    weights = Weights(
        model=MODEL, class_names=["a", "b"], image_size=SIZE, mean=(0.5,), std=(0.25,), arrays=arrays
    )
    path = tmp_path / "x.bin"
    weights.save(path)
    content, chance = path.read_bytes(), random.Random(16)
    for case in range(CASES):
        path.write_bytes(changed(content, chance))
        try:
            read = load(path, head=False)
        except ConfigError as error:
            check(error)
            continue
        reference = load_file(path)
        assert all(np.array_equal(a, reference[name]) for name, a in read.arrays.items()), case
        json.dumps([read.class_names, read.image_size, read.mean, read.std, read.crop])
