"""Parts of a ViT that no other library has in the same form, beside formulas in numpy."""

import jax
import numpy as np
import pytest

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models import network
from trainer.weights import torch_names

WIDTH = 32  # of vit-tiny


def built(classes, **settings):
    net, init = network.build(ModelConfig(arch="vit-tiny", **settings), classes, 1, 8, "cpu")
    params, _ = init(jax.random.key(0))
    return net, {name: np.asarray(array) for name, array in params.items()}


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_the_representation_is_a_layer_with_tanh_between_pooling_and_head(pool):
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    plain, params = built(WIDTH, pool=pool)
    # With the identity as its head, the plain network returns what the head sees.
    params |= {"head.kernel": np.eye(WIDTH, dtype=np.float32), "head.bias": np.zeros(WIDTH, np.float32)}
    features, _ = plain.apply(params, {}, images, train=False)
    net, own = built(4, pool=pool, representation=True)
    assert own.keys() - params.keys() == {"representation.kernel", "representation.bias"}
    assert own["representation.kernel"].shape == (WIDTH, WIDTH)
    draw = np.random.default_rng(1)
    own = {n: params.get(n, a) for n, a in own.items()} | {
        n: draw.normal(size=own[n].shape).astype(np.float32)
        for n in ("representation.kernel", "representation.bias", "head.kernel", "head.bias")
    }
    logits, _ = net.apply(own, {}, images, train=False)
    hidden = np.tanh(np.asarray(features) @ own["representation.kernel"] + own["representation.bias"])
    np.testing.assert_allclose(logits, hidden @ own["head.kernel"] + own["head.bias"], rtol=1e-4, atol=1e-4)


def test_torchvision_has_the_representation_and_timm_is_refused():
    model = ModelConfig(arch="vit-tiny", representation=True)
    names = torch_names.names(model, ["representation.kernel", "representation.bias"])
    assert list(names.values()) == ["heads.pre_logits.weight", "heads.pre_logits.bias"]
    with pytest.raises(ConfigError, match=r"timm: must have every layer .* got model.representation=true"):
        torch_names.layout(model, "timm")


def test_torchvision_has_no_map_pooling():
    with pytest.raises(ConfigError, match=r"torchvision: must have every layer .* got model.pool=map"):
        torch_names.layout(ModelConfig(arch="vit-tiny", pool="map"))
