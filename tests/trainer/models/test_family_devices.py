"""A network of every family trains alike on one device and on eight, divided or not."""

import jax
import numpy as np
import pytest
from models.families import FAMILIES
from step_runs import Run

from trainer.config import ModelConfig
from trainer.devices import state_sharding


@pytest.mark.slow
# deq-tiny makes more of rounding (docs/guides/equilibrium.md): test_deq.py has it in float64.
@pytest.mark.parametrize("family", [f for f in FAMILIES if f.arch != "deq-tiny"], ids=str)
def test_the_losses_are_the_same_on_one_and_on_eight_devices_sharded_or_not(family, monkeypatch):
    monkeypatch.setattr(state_sharding, "MIN_ELEMENTS", 64)
    settings = {"model.arch": family.arch, "model.width": ModelConfig.width, **family.settings}
    one, eight, sharded = Run(1, **settings), Run(8, **settings), Run(8, **settings, **{"train.shard": "all"})
    assert any(s.spec for s in jax.tree.leaves(sharded.shardings.params))
    losses_of_one = one.losses(4)
    assert eight.losses(4) == pytest.approx(losses_of_one, rel=1e-5)
    assert sharded.losses(4) == pytest.approx(losses_of_one, rel=1e-5)
    masks = [run.state.opt.masks for run in (one, eight, sharded) if "sparse.method" in family.settings]
    for name in masks[0] if masks else ():
        first, *others = (np.asarray(each[name]) for each in masks)
        for other in others:  # rounding may exchange two weights of nearly the same size
            assert other.sum() == first.sum()
            assert (other != first).sum() <= max(2, first.size // 1000), name
