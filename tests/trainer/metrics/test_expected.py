"""Measured against predicted: the estimate, and causes that are named only where they were measured."""

import json
import socket
import threading

import pytest

from trainer.cost.utilisation import Cost, Peak
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
