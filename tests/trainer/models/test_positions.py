"""Positions of a ViT for images of another size, as timm resamples them: on import and with train.init."""

import json
from pathlib import Path

import numpy as np
import pytest

from tools import parity_goldens as goldens
from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models import vit
from trainer.weights import torch_import, torch_names
from trainer.weights.file import Weights, describe
from trainer.weights.initial import fitting_arrays

WANTED = json.loads((Path(__file__).parent / "positions.json").read_text())


@pytest.mark.parametrize("case", range(len(WANTED)), ids=lambda i: "-".join(map(str, goldens.POSITIONS[i])))
def test_they_are_resampled_as_timm_resamples_them(case):
    before, after, first = goldens.POSITIONS[case]
    drawn = goldens.draw(f"positions.{before}", (before**2 + first, 3))
    got = vit.fit("positions", drawn, (after**2 + first, 3))
    np.testing.assert_allclose(got, WANTED[case], atol=2e-6)
    assert np.abs(got).max() > 0.5


def weights(side: int, **model) -> Weights:
    config = ModelConfig(arch="vit-tiny", **model)
    _, shapes = describe(config, 4, 3, side, "cpu")
    arrays = {name: goldens.draw(name, shape) for name, shape in shapes.items()}
    half = (0.5,) * 3
    return Weights(
        model=config, class_names=list("abcd"), image_size=side, mean=half, std=half, arrays=arrays
    )


def shapes_of(side: int, **model) -> dict[str, np.ndarray]:
    _, shapes = describe(ModelConfig(arch="vit-tiny", **model), 4, 3, side, "cpu")
    return {name: np.empty(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_an_import_for_another_image_size_resamples_them_and_says_so(tmp_path, library):
    small, path = weights(16), tmp_path / "small.safetensors"
    torch_import.save_torch(small, path, library)
    imported = torch_import.load_torch(path, small.model, 24, library=library)
    timms = WANTED[goldens.POSITIONS.index((4, 6, 1))]  # 4 rows of patches, and 6, with a class token
    drawn = goldens.draw("positions.4", (17, 3))
    [note] = imported.notes
    theirs = torch_names.layout(small.model, library).name("positions")
    assert note == f"{theirs} is resampled from (17, 32) to (37, 32)"
    assert imported.weights.image_size == 24
    assert imported.weights.arrays["positions"].shape == (37, 32)
    imported.weights.network("cpu")  # all of it fits
    # The same arithmetic for each feature: three of timm's in the place of ours.
    replaced = small.arrays["positions"].copy()
    replaced[:, :3] = drawn
    again = vit.fit("positions", replaced, (37, 32))
    np.testing.assert_allclose(again[:, :3], timms, atol=2e-6)
    same = torch_import.load_torch(path, small.model, 16, library=library)
    assert same.notes == []
    assert np.array_equal(same.weights.arrays["positions"], small.arrays["positions"])


def test_a_run_of_another_image_size_starts_from_them_resampled(capsys):
    small = weights(16)
    fitting = fitting_arrays(small, "small.safetensors", shapes_of(24), small.model, 24)
    assert np.array_equal(fitting["positions"], vit.fit("positions", small.arrays["positions"], (37, 32)))
    assert np.array_equal(fitting["blocks.1.mlp.out.kernel"], small.arrays["blocks.1.mlp.out.kernel"])
    said = "train.init: positions of small.safetensors is resampled, (17, 32) to (37, 32), 16 to 24 pixels"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("of", "to", "problem"),
    [
        ({}, {"pool": "mean"}, "positions must be (36, 32), got (17, 32)"),
        ({"pool": "mean"}, {}, "positions must be (37, 32), got (16, 32)"),
        ({"positions": "sincos2d"}, {}, "positions must be (37, 32), got none"),
        ({}, {"positions": "sincos2d"}, "the network has no positions"),
    ],
)
def test_positions_of_another_kind_are_refused_by_name(of, to, problem):
    model = ModelConfig(arch="vit-tiny", **to)
    with pytest.raises(ConfigError) as error:
        fitting_arrays(weights(16, **of), "small.safetensors", shapes_of(24, **to), model, 24)
    assert f"train.init: small.safetensors must fit the network: {problem}" in str(error.value)


@pytest.mark.parametrize("shape", [(18, 32), (0, 32), (17, 16), (17,), (4, 4, 32)])
def test_what_is_no_square_grid_stays_as_it_is_and_is_refused_by_its_shape(shape):
    array = np.zeros(shape, np.float32)
    assert vit.fit("positions", array, (37, 32)) is array
