"""Twenty random faults in one run, which ends with the losses of an undisturbed run.

It takes too long for `make test`; run `make soak`. RESNET_SOAK_SEED repeats the faults of another run.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from pod_runs import ATTEMPT, TINY, Run
from testcluster import Cluster
from testcluster.api import Refused
from testcluster.errors import ClusterError
from testcluster.objects import eventually

FAULTS = 20
STEPS = 3000
FLAGS = f"{TINY} --steps {STEPS} --set checkpoint.every_steps=50 --set log.every_steps=1 --grace 5"
FLAGS += " --set train.eval_every_epochs=0 --set train.hang_seconds=30 --max-restarts 100"


class Soak:
    """A run and its random faults, one per method.

    Args:
      draw: the random generator.
    """

    def __init__(self, run: Run, draw: random.Random) -> None:
        self.run, self.draw = run, draw
        self.ended = -1  # the newest attempt that a fault has ended

    def pod(self) -> str:
        """A random pod of the newest attempt."""
        return self.draw.choice(self.run.newest())["metadata"]["name"]

    def kill(self) -> None:
        self.run.cluster.kill(self.pod(), self.run.namespace, signal.SIGKILL)

    def terminate(self) -> None:
        self.run.cluster.kill(self.pod(), self.run.namespace, signal.SIGTERM)

    def stop(self) -> None:
        self.run.cluster.kill(self.pod(), self.run.namespace, signal.SIGSTOP)

    def delete(self) -> None:
        self.run.delete_pod(self.pod())

    def evict(self) -> None:
        self.run.evict(self.pod())

    def restart_apiserver(self) -> None:
        self.run.cluster.restart_apiserver()

    def refuse(self) -> None:
        self.run.cluster.bucket.refuse()
        time.sleep(self.draw.uniform(1, 15))
        self.run.cluster.bucket.start()

    def strike(self) -> str:
        """Wait until the run has trained for a moment, cause one fault and return its name."""
        ending = [self.kill, self.terminate, self.stop, self.delete, self.evict]
        fault: Callable[[], None] = self.draw.choice([*ending, self.restart_apiserver, self.refuse])
        for _ in range(5):
            assert eventually(self.trains, 300), self.run.report()
            time.sleep(self.draw.uniform(0, 3))
            if fault in ending:
                self.ended = self.attempt()
            with contextlib.suppress(ClusterError, Refused):  # an earlier fault has just ended it
                fault()
                return fault.__name__
        raise AssertionError(f"no pod was there to {fault.__name__}:\n{self.run.report()}")

    def attempt(self) -> int:
        return int(self.run.newest()[0]["metadata"]["labels"][ATTEMPT])

    def trains(self) -> bool:
        """Return whether an attempt that no fault has ended is past its first step."""
        pods = self.run.newest()
        running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        if len(running) < 2 or self.attempt() <= self.ended:
            return False
        return "event name=first_step" in self.run.log(pods[0])


@pytest.mark.soak
@pytest.mark.timeout(5400)
def test_twenty_random_faults(cluster: Cluster, namespace: str) -> None:
    calm = Run(cluster, namespace, "calm", FLAGS)
    assert calm.wait(20) == "Completed", calm.report()
    seed = int(os.environ.get("RESNET_SOAK_SEED", "0"))
    soak = Soak(Run(cluster, namespace, "soak", FLAGS), random.Random(seed))
    for number in range(FAULTS):
        print(f"fault {number + 1}: {soak.strike()}", flush=True)
    assert soak.run.wait(30) == "Completed", soak.run.report()
    assert soak.run.losses() == calm.losses()
    assert soak.run.rows("evaluate") == calm.rows("evaluate")
    print(f"restarts {soak.run.status()['restarts']}, seed {seed}")
    soak.run.delete()
