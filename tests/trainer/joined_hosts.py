"""Processes on this machine that join each other as the hosts of a run, each running one script."""

import contextlib
import os
import socket
import subprocess
import sys


def environment(hosts, devices_per_host, process):
    """The variables from which ``trainer.runtime.join`` learns its place; the port is the caller's."""
    return {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices_per_host),
        "RESNET_PLATFORM": "cpu",
        "RESNET_HOSTS": str(hosts),
        "RESNET_HOSTS_PER_SLICE": str(hosts),
        "RESNET_SLICES": "1",
        "RESNET_SLICE_INDEX": "0",
        "RESNET_DEVICES": str(hosts * devices_per_host),
        "JOB_COMPLETION_INDEX": str(process),
    }


@contextlib.contextmanager
def running(hosts, devices_per_host, script, *arguments, **variables):
    """Start one process per host; yield them, and end what is left of them."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RESNET_", "JAX_"))}
    with socket.create_server(("127.0.0.1", 0)) as free:
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            env=inherited
            | variables
            | environment(hosts, devices_per_host, process)
            | {"RESNET_COORDINATOR": coordinator},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(hosts)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def finished(processes):
    """Return (exit code, stdout, stderr) of each process once all have ended by themselves."""
    ends = [process.communicate(timeout=200) for process in processes]
    return [(p.returncode, *end) for p, end in zip(processes, ends, strict=True)]
