"""A step over two slices of four devices: losses as on one device, and gradients that cross once."""

import re
from typing import Any

import jax
import numpy as np
import pytest
from step_runs import Run

from trainer import registry
from trainer.cost.hlo import ARRAY, array_bytes, computations
from trainer.devices import mesh, slice_sums, state_sharding

REDUCTION = re.compile(
    r" = (?P<result>.*?) (?:all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)\(.*?"
    r"(?:replica_groups|source_target_pairs)=(?P<groups>\{\{.*?\}\}|\[[\d,]+\]<=\[[\d,]+\](?:T\([\d,]+\))?)"
)
FIRST = set(range(4))  # devices of the first slice


def groups_of(text) -> list[list[int]]:
    """Device numbers of each group, as XLA writes them: {{0,4},{1,5}} or [4,2]<=[2,4]T(1,0)."""
    if text.startswith("{"):
        return [[int(number) for number in group.split(",")] for group in re.findall(r"\d[\d,]*", text)]
    match = re.fullmatch(r"\[(.*?)\]<=\[(.*?)\](?:T\((.*?)\))?", text)
    assert match, text
    shape, source, order = ([int(n) for n in part.split(",")] if part else None for part in match.groups())
    devices: Any = np.arange(8).reshape(source or 8).transpose(order)
    return devices.reshape(shape).tolist()


def crossing_bytes(text):
    """Return {"entry": bytes, "loops": bytes} of what one device receives from the other slice."""
    bodies, entry = computations(text)
    sizes = {"entry": 0, "loops": 0}
    for name, body in bodies.items():
        for match in REDUCTION.finditer(body):
            if any(set(group) & FIRST and set(group) - FIRST for group in groups_of(match["groups"])):
                size = sum(map(array_bytes, ARRAY.finditer(match["result"])))
                sizes["entry" if name == entry else "loops"] += size
    return sizes


@pytest.fixture(autouse=True)
def folded_blocks_of_small_arrays(monkeypatch):
    monkeypatch.setattr(state_sharding, "MIN_ELEMENTS", 256)
    monkeypatch.setitem(registry.ARCHS["resnet-tiny"][1], "block", "bottleneck")


CASES = {
    "no statistics, draws": {
        "model.arch": "vit-tiny", "model.width": 64, "model.stochastic_depth": 0.3, "train.accumulate": 2,
    },
    "a group on each device": {
        "model.bn_fold": "on", "model.bn_group": 2, "train.accumulate": 2, "train.shard": "all",
        "augment.mixup": 0.2,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_slices_train_as_one_device_and_gradients_cross_once(case):
    one, two = Run(1, **CASES[case]), Run(8, 2, **CASES[case])
    assert two.losses(4) == pytest.approx(one.losses(4), abs=1e-5)
    for name, array in one.state.stats.items():
        np.testing.assert_allclose(two.state.stats[name], array, atol=1e-5, err_msg=name)
    crossing = crossing_bytes(two.train.as_text())
    gradients = sum(4 * array.size for array in one.state.params.values())
    assert crossing["loops"] == 0
    # Each device of a slice sends a quarter; vectors, statistics and losses are whole.
    assert gradients / 4 < crossing["entry"] < gradients / 2


@pytest.mark.parametrize("groups", [1, 2, 4, 12])
def test_groups_on_several_devices_are_left_to_the_partitioner(groups):
    grid = mesh.make_mesh(2, jax.devices()[:8])
    with jax.sharding.use_abstract_mesh(grid.abstract_mesh):
        assert not slice_sums.separable(groups, shared=True)
        assert slice_sums.separable(groups, shared=False)
        assert slice_sums.separable(16, shared=True)
    assert not slice_sums.separable(16, shared=True)  # no mesh, and so no slices
