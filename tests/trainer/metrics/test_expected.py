"""Measured against predicted: the estimate, and causes that are named only where they were measured."""

import functools
import json
import socket
import threading
from typing import Any, cast

import pytest

from trainer.cost.utilisation import Cost, Peak, peak
from trainer.metrics.expected import NOT_MEASURED, Window, cause, estimated
from trainer.metrics.hosts import HostTime, HostTimes, straggler


def times(*rows):
    return [HostTime(pod=f"pod-{at}", data=data, work=work) for at, (data, work) in enumerate(rows)]


@pytest.mark.parametrize(
    ("measured", "window", "expected"),
    [
        (800, Window(data=0.9), ""),  # 80 % is as predicted
        (500, Window(data=0.4), "waiting for data, 40% of the time"),
        (500, Window(data=0.2), NOT_MEASURED),  # explains less than half of what is lost
        (500, Window(data=0.1, compiling=0.45), "compilation, 45% of the time"),
        (500, Window(data=0.4, count=2), "waiting for data on the first host, 40% of the time"),
        (500, Window(data=0.0, count=2), NOT_MEASURED),
        (
            500,
            Window(data=0.0, count=3, hosts=times((0.0, 0.9), (0.01, 0.9), (0.42, 0.5))),
            "slow host pod-2: waiting for data, 42% of the time more than on the others",
        ),
        (
            500,
            Window(data=0.4, count=2, hosts=times((0.4, 0.1), (0.41, 0.1))),
            "waiting for data on all hosts, 40% of the time",
        ),
        (
            500,
            Window(data=0.0, count=3, hosts=times((0.0, 0.1), (0.0, 0.6), (0.0, 0.1))),
            "slow host pod-1: work of the host, 50% of the time more than on the others",
        ),
        (500, Window(data=0.0, count=2, hosts=times((0.0, 0.9), (0.0, 0.9))), NOT_MEASURED),
    ],
)
def test_a_cause_is_named_where_it_explains_what_is_lost(measured, window, expected):
    assert cause(measured, 1000, window) == expected


def test_of_two_hosts_the_one_that_waits_for_data_is_slow_and_not_the_one_that_waits_for_it():
    slowest = straggler(times((0.0, 1.0), (0.4, 0.55)))
    assert slowest
    assert (slowest[0].pod, slowest[1]) == ("pod-1", "waiting for data")
    assert straggler(times((0.4, 0.1))) is None
    assert straggler([]) is None


@pytest.mark.parametrize(
    ("cost", "limit", "rate"),
    [
        (Cost(flops=9e12, bytes=9e9), Peak(flops=9e13, bytes=9e10), 256 * 0.9 / 0.2),
        (None, Peak(flops=1, bytes=1), None),
        (Cost(flops=1, bytes=1), None, None),
        (Cost(flops=0, bytes=0), Peak(flops=1, bytes=1), None),
    ],
)
def test_the_estimate_is_that_of_check_without_exchanges(cost, limit, rate):
    assert estimated(cost, limit, 256) == (pytest.approx(rate) if rate else None)


def test_exchanges_between_slices_follow_the_work_and_are_not_guessed():
    limit, step = Peak(flops=9e13, bytes=9e10), functools.partial(Cost, flops=9e12, bytes=9e9)  # 0.2 / 0.9 s
    known = step(sent=12.5e8, rounds=5)  # 0.1 s for one device of a host, and 5 x 0.2 ms
    assert estimated(known, limit, 256, 2) == pytest.approx(256 / (0.2 / 0.9 + 0.1 + 0.001))
    assert estimated(known, limit, 256, 2, 4) == pytest.approx(256 / (0.2 / 0.9 + 0.4 + 0.001))
    assert estimated(known, limit, 256) == pytest.approx(256 * 0.9 / 0.2)
    assert estimated(step(), limit, 256, 2) is None


def reported(tmp_path, monkeypatch, slices, cost, **settings):
    """What a run of a known chip logs at its first step, and log.predicted of its config.json."""
    from concurrent.futures import Future

    from etils import epath

    from trainer.config import resolve
    from trainer.metrics import reporter
    from trainer.metrics.throughput import Meter
    from trainer.plan import Plan
    from trainer.rundir import directory

    chosen = {"data.name": "digits", "train.batch": 64, "train.steps": 3, "log.every_steps": 1, **settings}
    config = resolve("r", str(tmp_path), "", chosen)
    directory.record(epath.Path(tmp_path), config, [], 0)
    monkeypatch.setattr(reporter, "cost", lambda *_: cost)
    plan = Plan(steps=3, steps_per_epoch=3.0, eval_every=0, save_every=0)
    program = Future()
    program.set_result(None)
    logged = []

    class Rows:
        def progress(self, row, waited):
            logged.append(row)

    speed, rows = Meter(64), cast(Any, Rows())
    record = functools.partial(directory.record_prediction, epath.Path(tmp_path), config)
    stages = {plan.stage(step): program for step in range(3)}
    report = reporter.Reporter(
        rows, plan, config, speed, stages, "TPU v4", lambda stage: 1.0, slices=slices, record=record
    )
    for step in (1, 2, 3):
        report(iter([(step, {"loss": 1.0, "accuracy": 0.1, "grad_norm": 1.0, "lr": 0.1})]))
    return logged[-1], json.loads((tmp_path / "config.json").read_text())["log"]["predicted"]


def test_an_estimate_is_recorded_in_the_settings_also_over_slices(tmp_path, monkeypatch):
    cost = Cost(flops=1e12, bytes=1e9, sent=1e6, rounds=2)
    for slices in (1, 2):
        row, recorded = reported(tmp_path, monkeypatch, slices, cost)
        assert recorded == row.predicted
        assert recorded == pytest.approx(estimated(cost, peak("TPU v4"), 64, slices), abs=0.1)
    assert reported(tmp_path, monkeypatch, 1, cost, **{"log.predicted": 7.0})[1] == 7.0
    assert reported(tmp_path, monkeypatch, 2, Cost(flops=1e12, bytes=1e9))[1] == 0.0


def together(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_the_times_of_all_hosts_reach_the_first_one():
    from jax._src.lib import _jax  # pyright: ignore[reportPrivateImportUsage]

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    service = _jax.get_distributed_runtime_service(f"127.0.0.1:{free_port}", 2)
    clients = [_jax.get_distributed_runtime_client(f"127.0.0.1:{free_port}", index) for index in (0, 1)]
    together([client.connect for client in clients])
    rows = times((0.1, 0.2), (0.3, 0.4))
    first, second = (
        HostTimes(client, index, 2, lambda index=index: rows[index], seconds=1e6)
        for index, client in enumerate(clients)
    )
    first.exchange()
    assert first.newest == []  # a host is missing: nobody is blamed
    second.exchange()
    first.exchange()
    assert first.newest == rows
    rows[1] = HostTime(pod="pod-1", data=0.9, work=0.0)
    second.exchange()
    first.exchange()
    assert first.newest == rows
    assert json.loads(dict(clients[0].key_value_dir_get("resnet/host-times"))["resnet/host-times/000001"])
    together([client.shutdown for client in clients])
    service.shutdown()
