"""The place of a process in its run, and joining the others.

On TPU, GKE injects the variables that ``jax.distributed.initialize()`` looks for. On GPU and CPU the launcher
sets the coordinator and the counts, Kubernetes sets ``JOB_COMPLETION_INDEX``, and JAX's cluster detection is
switched off. A process that cannot join ends with an error; it never trains alone by accident.
"""

import contextlib
import functools
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import ConfigError, JoinError
from trainer.runtime.environment import Variable

# JAX's own client retries a name after 30 s at the earliest, so it gets an address that answers already.
RETRY_SECONDS = 0.1  # between connections to the coordinator
CONNECT_SECONDS = 1.0  # the name may still resolve to the previous pod, whose address never answers
LOW_PRIORITY = 19  # the lowest "nice" value of Linux


@dataclass(frozen=True, kw_only=True)
class Job:
    """The place of this process in its run, as the environment states it."""

    platform: str = ""  # cpu, gpu or tpu; empty: started by hand, runs alone
    coordinator: str = ""
    hosts_per_slice: int = 1
    slices: int = 1
    slice_index: int = 0
    completion_index: int = 0
    hosts: int = 1
    devices: int = 0  # what jax.device_count() must return; 0: any
    restart: int = 0
    pod: str = ""
    owner: str = ""
    run_dir: str = ""  # of a program of the user's own; the trainer gets it as a flag

    @property
    def process_id(self) -> int:
        """The index of this process in the run, from 0."""
        return self.slice_index * self.hosts_per_slice + self.completion_index

    @property
    def on_one_machine(self) -> bool:
        """Whether all processes of the run are on this machine, so that nothing listens on the network."""
        return self.coordinator.rpartition(":")[0] in ("127.0.0.1", "localhost")


def read_environment(env: Mapping[str, str]) -> Job:
    """Return the place of this process from RESNET_* and JOB_COMPLETION_INDEX.

    Raises:
      ConfigError: a variable is missing or not a whole number, or the variables contradict each other.
    """
    if Variable.PLATFORM not in env:
        if Variable.COMPLETION_INDEX in env:
            raise ConfigError(
                f"{Variable.PLATFORM}: must be set in a pod", "render the job with resnet-launch"
            )
        return Job()
    platform = env[Variable.PLATFORM]
    if platform not in ("cpu", "gpu", "tpu"):
        raise ConfigError(f"{Variable.PLATFORM}: must be cpu, gpu or tpu, got '{platform}'")
    explicit = platform != "tpu"
    job = Job(
        platform=platform,
        coordinator=_text(env, Variable.COORDINATOR) if explicit else "",
        hosts_per_slice=_number(env, Variable.HOSTS_PER_SLICE) if explicit else 1,
        slices=_number(env, Variable.SLICES),
        slice_index=_number(env, Variable.SLICE_INDEX) if explicit else 0,
        completion_index=_number(env, Variable.COMPLETION_INDEX) if explicit else 0,
        hosts=_number(env, Variable.HOSTS),
        devices=_number(env, Variable.DEVICES),
        restart=int(env.get(Variable.RESTART) or 0),
        pod=env.get(Variable.POD, ""),
        owner=env.get(Variable.OWNER, ""),
        run_dir=env.get(Variable.RUN_DIR, ""),
    )
    if explicit and not (job.hosts == job.slices * job.hosts_per_slice and job.process_id < job.hosts):
        raise ConfigError(
            f"{Variable.HOSTS}: must be {job.slices} slices x {job.hosts_per_slice} hosts and above "
            f"process {job.process_id}, got {job.hosts}"
        )
    return job


def join(timeout_seconds: int = 300) -> Job:
    """Join the other processes of this run, and return the place of this process among them.

    For any program that uses JAX: in a pod of ``resnet-launch`` and under ``resnet-launch local``, on TPUs,
    GPUs and CPUs, on one slice and on several. It comes before any other use of JAX. A process that was
    started by hand runs alone, and a second call does nothing.

    >>> from trainer.runtime import join
    >>> place = join()
    >>> place.process_id, place.hosts, place.run_dir
    (0, 1, '')

    Args:
      timeout_seconds: longest time to wait for the others.

    Raises:
      ConfigError: a variable of the launcher is missing, or contradicts another.
      JoinError: the coordinator's name does not resolve in time, a process does not join in time, JAX has
        been used before, or the number of devices is not that of the slice.
    """
    job = read_environment(os.environ)
    if job.platform:
        join_hosts(job, timeout_seconds)
    return job


def join_hosts(job: Job, timeout_seconds: int) -> None:
    """Join the other processes, unless that is done, and check the number of devices.

    Raises:
      JoinError: the coordinator's name does not resolve in time, a process does not join in time, or the
        number of devices is not ``job.devices``.
    """
    import jax

    if job.hosts > 1 and not jax.distributed.is_initialized():
        deadline = time.monotonic() + timeout_seconds
        try:
            jax.distributed.initialize(**_arguments(job, deadline), initialization_timeout=timeout_seconds)
        except (RuntimeError, ValueError) as error:
            raise JoinError(f"could not join {job.hosts} hosts: {error}") from error
        if job.on_one_machine and job.platform == "cpu":
            _exchange_over_loopback()
    if job.hosts != jax.process_count():
        raise JoinError(f"hosts must be {job.hosts}, got {jax.process_count()}")
    if job.devices and job.devices != jax.device_count():
        raise JoinError(
            f"devices must be {job.devices} over {job.hosts} hosts, got {jax.device_count()}",
            "is the image built for this accelerator, and does the pod ask for all chips of its host?",
        )


def _arguments(job: Job, deadline: float) -> dict:
    if job.platform == "tpu":
        return {}
    arguments = {
        "coordinator_address": job.coordinator,
        "num_processes": job.hosts,
        "process_id": job.process_id,
        "cluster_detection_method": "deactivate",
    }
    host, _, port = job.coordinator.rpartition(":")
    if job.on_one_machine:
        arguments["coordinator_bind_address"] = job.coordinator
    elif job.process_id > 0:
        arguments["coordinator_address"] = _answering(host, int(port), deadline)
    return arguments


def _exchange_over_loopback() -> None:
    """Let the CPU collectives listen on 127.0.0.1 instead of the address of this machine's name.

    JAX has no public option for it. While a message waits for this process, the thread of the collectives
    polls without a pause. It has a low priority, or it would take a core from the process that is waited for.
    """
    from jax._src import distributed, xla_bridge
    from jax._src.lib import _jax  # pyright: ignore[reportPrivateImportUsage]

    before = _threads()
    collectives = _jax.make_gloo_tcp_collectives(
        distributed_client=distributed.global_state.client, hostname="127.0.0.1"
    )
    for thread in _threads() - before:
        with contextlib.suppress(OSError):  # it has ended, or the system forbids it: the run is only slower
            os.setpriority(os.PRIO_PROCESS, thread, LOW_PRIORITY)
    client = functools.partial(xla_bridge.make_cpu_client, collectives=collectives)
    xla_bridge.register_backend_factory("cpu", client, priority=0, fail_quietly=False)


def _threads() -> set[int]:
    """Return the ids of this process's threads; none where the system is not Linux."""
    return {int(path.name) for path in Path("/proc/self/task").glob("*")}


def _answering(host: str, port: int, deadline: float) -> str:
    """Return ADDRESS:PORT of the coordinator once its name resolves and the port accepts connections.

    After a restart the name resolves to the previous pod until the cluster's DNS cache expires.
    """
    while True:
        try:
            with socket.create_connection((host, port), CONNECT_SECONDS) as connection:
                address = connection.getpeername()[0]
            return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        except OSError as error:
            if time.monotonic() > deadline:
                problem = f"the coordinator {host}:{port} does not answer"
                if isinstance(error, socket.gaierror):
                    problem = f"the coordinator's name '{host}' does not resolve"
                raise JoinError(f"{problem}: {error}") from None
        time.sleep(RETRY_SECONDS)


def _text(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise ConfigError(f"{name}: must be set where {Variable.PLATFORM} is {env[Variable.PLATFORM]}")
    return env[name]


def _number(env: Mapping[str, str], name: str) -> int:
    text = _text(env, name)
    if not text.isdigit():
        raise ConfigError(f"{name}: must be a whole number, got '{text}'")
    return int(text)
