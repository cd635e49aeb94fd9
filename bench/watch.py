"""CPU time of `resnet-launch watch` for many large runs that all train, on a terminal.

    python bench/watch.py [--runs 30] [--hosts 512] [--seconds 60] [--every 2]

A small API server in a process of its own has all JobSets and pods, keeps watches open, and lets each run
print a line of progress every few seconds. The command runs on a pseudo-terminal. Counted is the CPU time of
the command alone, after its start, which other load does not change.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests" / "launcher"
sys.path.insert(0, str(TESTS))
START_SECONDS = 15.0


def serve(runs: int, hosts: int, every: float, folder: Path) -> None:
    """Serve until the standard input closes."""
    from streaming_server import StreamingServer, jobset, pod, progress

    names = [f"run-{number:02d}" for number in range(runs)]
    pods = [pod(name, host) for name in names for host in range(hosts)]
    for entry in pods:  # as large as those of a cluster
        entry["metadata"]["managedFields"] = [{"manager": "x" * 100, "fieldsV1": "y" * 4000}]
    jobsets = [jobset(name, hosts=hosts, slices=8, shape="v5e-256") for name in names]
    with StreamingServer(jobsets=jobsets, pods=pods) as server:
        server.kubeconfig(folder)
        for name in names:
            server.say(f"{name}-slice-0-0-00000", *(progress(step, 10**6) for step in range(1, 1000)))
        print("ready", flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        step = 1000
        while True:
            for name in names:
                server.say(f"{name}-slice-0-0-00000", progress(step, 10**6))
                time.sleep(every / runs)
            step += 1


def seconds_of(pid: int) -> float:
    """Return the CPU time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    from pseudo_terminal import Terminal

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--hosts", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two lines of a run")
    parser.add_argument("--serve", metavar="DIR", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.runs, args.hosts, args.every, Path(args.serve))
        return
    with tempfile.TemporaryDirectory() as directory:
        options = ["--runs", args.runs, "--hosts", args.hosts, "--every", args.every, "--serve", directory]
        server = subprocess.Popen(
            [sys.executable, __file__, *map(str, options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert server.stdin
        assert server.stdout
        server.stdout.readline()
        command = [sys.executable, "-m", "launcher", "watch", "--kubeconfig", f"{directory}/kubeconfig"]
        environ = {**os.environ, "TERM": "xterm-256color"}
        with Terminal(command, Path(directory), 120, 40, environ) as terminal:
            terminal.until(lambda screen: f"{args.runs} run" in screen.text, 60)
            drawn_until(terminal, START_SECONDS)
            begun, before, drawn = time.monotonic(), seconds_of(terminal.process.pid), len(terminal.raw)
            drawn_until(terminal, args.seconds)
            spent = seconds_of(terminal.process.pid) - before
            passed = time.monotonic() - begun
            frames = terminal.raw[drawn:].count("\x1b[1;1H")
            status = Path(f"/proc/{terminal.process.pid}/status").read_text(encoding="utf-8")
            peak = [row for row in status.splitlines() if row.startswith("VmHWM")]
            terminal.press("q")
            terminal.ends()
        server.stdin.close()
        server.wait(10)
    print(f"{args.runs} runs of {args.hosts} hosts, a line every {args.every:g} s each, {passed:.0f} s")
    print(f"start {before:.2f} CPU s; then {100 * spent / passed:.2f} % of a core, {frames} drawings")
    print(f"memory at most {int(peak[0].split()[1]) / 1024:.0f} MiB")


def drawn_until(terminal: object, seconds: float) -> None:
    """Read what the command draws for some time."""
    end = time.monotonic() + seconds
    terminal.until(lambda screen: time.monotonic() > end, seconds + 5)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
