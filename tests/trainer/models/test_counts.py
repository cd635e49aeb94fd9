"""The number of parameters of every network that has a name."""

import numpy as np
import pytest
from flax import nnx
from models.counts import COUNTS
from models.families import FAMILIES

from trainer.config import resolve
from trainer.models import network
from trainer.registry import ARCHS


@pytest.mark.parametrize(("arch", "count"), COUNTS.items())
def test_the_number_of_parameters(arch, count):
    model = resolve("", "", "", {"model.arch": arch}).model
    net, _ = network.build(model, 1000, 3, 224, "cpu")
    params = [variable for _, variable in net.variables.values() if isinstance(variable, nnx.Param)]
    assert sum(np.prod(param.get_value().shape) for param in params) == count


def test_every_name_is_counted_or_the_small_network_of_a_family():
    small = {family.arch for family in FAMILIES}
    assert set(ARCHS) - small <= set(COUNTS) <= set(ARCHS), (
        "a new name needs its number of parameters in models/counts.py"
    )
