"""A step of two CPU hosts: losses as on one device, and few arrays that cross."""

import json
from pathlib import Path

import host_losses
import joined_hosts
import pytest
from step_runs import Run

CASES = {
    "statistics of the whole batch": {},
    "statistics of each device": {"model.bn_group": 16},
}
SLOW = {
    "draws, in two parts": {
        "model.arch": "vit-tiny", "model.width": 64, "model.stochastic_depth": 0.3, "train.accumulate": 2,
    },
    "a divided state": {"train.shard": "all"},
}  # fmt: skip


def of_hosts(cases, folder):
    script = Path(host_losses.__file__)
    with joined_hosts.running(2, 1, script, json.dumps(cases), folder) as hosts:
        ends = joined_hosts.finished(hosts)
    assert [end[0] for end in ends] == [0, 0], ends
    return json.loads(ends[0][1].splitlines()[-1])


def test_gradients_cross_in_one_array_and_each_batchnorm_in_one(tmp_path):
    answers = of_hosts(CASES, tmp_path / "programs")
    for case, settings in CASES.items():
        assert answers[case]["losses"] == pytest.approx(Run(1, **settings).losses(4), abs=1e-5)
    norms = sum(name.endswith(".scale") for name in Run(1).shapes.params)
    assert answers["statistics of the whole batch"]["sent"] == 2 * norms + 1
    assert answers["statistics of each device"]["sent"] == 1
    # The partitioner sends each of them by itself.
    assert host_losses.arrays_sent(Run(2).train.as_text()) > 3 * norms


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW)
def test_hosts_train_as_one_device(tmp_path, case):
    answer = of_hosts({case: SLOW[case]}, tmp_path / "programs")[case]
    assert answer["losses"] == pytest.approx(Run(1, **SLOW[case]).losses(4), abs=1e-5)
