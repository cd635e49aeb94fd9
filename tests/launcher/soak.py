"""Commands that follow a run through a proxy which breaks what it can, with a fixed seed.

Hosts print lines at a steady rate. Their clock stands still for some lines and is set back now and then. The
proxy cuts, delays and truncates answers, and answers some requests itself. Every command is a process.
"""

from __future__ import annotations

import collections
import datetime
import http.client
import http.server
import os
import random
import subprocess
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api_server import ApiServer, Asked, Handler, jobset, pod

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HTML = b"<!DOCTYPE html><html><title>Sign in</title><body>Please log in</body></html>"
HANG_SECONDS = 60.0  # after the run is over, the longest time for a command to notice
OWN_ANSWERS = {  # fault of the proxy -> its answer: status, headers, body
    "429": (429, {"Retry-After": "1"}, b"Too many requests"),
    "500": (500, {}, b"internal error"),
    "502": (502, {"Content-Type": "text/html"}, b"<html><h1>502 Bad Gateway</h1></html>"),
    "html": (200, {"Content-Type": "text/html"}, HTML),
    "reset": (0, {}, b""),
}
BODY_FAULTS = ("cut", "truncated", "delayed")


@dataclass
class Report:
    """What came of a soak.

    Attributes:
      lines: printed by all hosts; `lost` and `doubled` of them by `logs -f`, `misplaced` out of order.
      codes: command -> how often each exit code came.
      wrong: answers that say something untrue.
      hangs: commands that did not notice the end.
      faults: fault -> how often the proxy made it.
    """

    lines: int = 0
    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    hangs: int = 0
    codes: dict[str, collections.Counter[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    faults: collections.Counter[str] = field(default_factory=collections.Counter)


class Host:
    """A container that prints `count` lines in `seconds`, and its log as a kubelet serves it."""

    def __init__(self, number: int, count: int, seconds: float, seed: int) -> None:
        dice, second = random.Random(seed + number), 0.0
        self.texts = [f"host {number} line {index}" for index in range(count)]
        self.stamps = []
        for _ in range(count):
            second += dice.choice([0, 0, 0, 0, 0, 0, 0.3, 0.2, -0.1])
            self.stamps.append(EPOCH + datetime.timedelta(seconds=round(second, 1)))
        self._pace, self._begun = seconds / count, time.monotonic()

    def printed(self) -> int:
        """Return the number of lines so far."""
        return min(len(self.texts), int((time.monotonic() - self._begun) / self._pace))

    def serve(self, handler: Handler, asked: Asked) -> bool:
        """Send the log from sinceTime on; with `follow` until the last line."""
        since = asked.query.get("sinceTime")
        first = datetime.datetime.fromisoformat(since.replace("Z", "+00:00")) if since else EPOCH.min
        first = first.replace(tzinfo=datetime.UTC)

        def parts() -> Any:
            sent = 0
            while True:
                ready = self.printed()
                yield "".join(
                    f"{stamp.isoformat().replace('+00:00', 'Z')} {text}\n"
                    for stamp, text in zip(self.stamps[sent:ready], self.texts[sent:ready], strict=True)
                    if stamp >= first
                )
                sent = ready
                if sent == len(self.texts) or asked.query.get("follow") != "true":
                    return
                time.sleep(0.05)

        return handler.chunks(parts())


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests to a server and breaks a share of them.

    Args:
      share: of the requests that get a fault.
      mean_bytes: of a body before it is cut.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str, seed: int, share: float, mean_bytes: float) -> None:
        self.upstream, self.share, self.mean_bytes = upstream, share, mean_bytes
        self.dice, self.faults = random.Random(seed), collections.Counter[str]()
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), ProxyHandler)

    def draw(self) -> tuple[str, int, float]:
        """Return (fault or nothing, bytes until it, seconds of a delay)."""
        with self.lock:
            fault = self.dice.choice([*OWN_ANSWERS, *BODY_FAULTS]) if self.dice.random() < self.share else ""
            self.faults[fault or "none"] += 1
            return fault, int(self.dice.expovariate(1 / self.mean_bytes)), self.dice.uniform(0.1, 2.0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are sent apart: 40 ms between them otherwise

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        proxy: Any = self.server
        fault, left, seconds = proxy.draw()
        if fault == "reset":
            self.close_connection = True
            return
        if fault in OWN_ANSWERS:
            status, headers, body = OWN_ANSWERS[fault]
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(proxy.upstream).netloc)
        try:
            connection.request("GET", self.path)
            reply = connection.getresponse()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.headers.get("Content-Type", "text/plain"))
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while data := reply.read1(1 << 14):
                if fault == "delayed" and left < len(data):
                    time.sleep(seconds)
                    fault = ""
                if fault in ("cut", "truncated"):
                    data = data[:left]
                    left -= len(data)
                if data:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.flush()
                if fault in ("cut", "truncated") and left <= 0:
                    break
            if fault == "cut":
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
        finally:
            connection.close()


def soak(folder: Path, hosts: int, lines: int, seconds: float, seed: int, share: float) -> Report:
    """Follow a run with `logs -f`, `wait` and `status`, and compare with what its hosts printed."""
    printing = [Host(number, lines, seconds, seed) for number in range(hosts)]

    def hook(handler: Handler, asked: Asked) -> Any:
        if asked.is_log:
            return printing[int(asked.name.split("-")[3])].serve(handler, asked)
        over = [host.printed() == lines for host in printing]
        server.objects["pods"] = [pod(number, ended=over[number]) for number in range(hosts)]
        server.objects["jobsets"] = [jobset(hosts=hosts, ended="Completed" if all(over) else "")]
        return None

    report = Report(lines=hosts * lines)
    mean_bytes = max(lines * 40 * 6 / seconds, 500)  # about six seconds of one host's lines
    with ApiServer(hook) as server, Proxy(server.url, seed, share, mean_bytes) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        direct, server.url = server.url, f"http://127.0.0.1:{proxy.server_port}"
        config = server.kubeconfig(folder)
        server.url = direct
        begun = time.monotonic()
        following, waiting = (_start(folder, config, *words) for words in (("logs", "-f"), ("wait",)))
        while time.monotonic() - begun < seconds:
            _status(report, folder, config)
        deadline = time.monotonic() + HANG_SECONDS
        out, _ = _finish(report, "logs -f", following, deadline)
        _compare(report, [host.texts for host in printing], out)
        out, _ = _finish(report, "wait", waiting, deadline)
        if out != ["run completed"]:
            report.wrong.append(f"wait: {out}")
        proxy.shutdown()
        report.faults = proxy.faults
    return report


def _start(folder: Path, config: Path, *words: str) -> subprocess.Popen[str]:
    name = words[0]
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("RESNET_", "KUBE"))}
    with (folder / f"{name}.out").open("w") as out, (folder / f"{name}.err").open("w") as err:
        command = [sys.executable, "-m", "launcher", *words, "run", "--kubeconfig", str(config)]
        return subprocess.Popen(command, stdout=out, stderr=err, env=environ, text=True)


def _finish(
    report: Report, name: str, process: subprocess.Popen[str], deadline: float
) -> tuple[list[str], list[str]]:
    """Wait for a command, count its exit code, and return the lines of stdout and stderr."""
    verb = name.split()[0]
    try:
        code = process.wait(max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        report.hangs += 1
        process.kill()
        code = process.wait()
    report.codes.setdefault(name, collections.Counter())[code] += 1
    folder = Path(str(process.args[-1])).parent  # type: ignore[index]
    out, err = ((folder / f"{verb}.{stream}").read_text().splitlines() for stream in ("out", "err"))
    if any("Traceback" in line or "a bug in" in line for line in err):
        report.wrong.append(f"{name}: {err[-3:]}")
    return out, err


def _status(report: Report, folder: Path, config: Path) -> None:
    """Ask once for the status: right, or an error that claims nothing."""
    process = _start(folder, config, "status", "--json")
    out, err = _finish(report, "status", process, time.monotonic() + HANG_SECONDS)
    if process.returncode == 0 and '"phase": "Running",' not in "".join(out):
        phase = [line for line in out if '"phase"' in line]
        if phase != ['  "phase": "Completed",']:
            report.wrong.append(f"status: {phase or out[:3]}")
    if process.returncode and (out or not err or not err[-2:][0].startswith(("error: ", "hint: "))):
        report.wrong.append(f"status: {out[:2]} {err[-2:]}")


def _compare(report: Report, printed: list[list[str]], out: list[str]) -> None:
    for number, texts in enumerate(printed):
        prefix = f"slice-0-{number} | "
        shown = [line.removeprefix(prefix) for line in out if line.startswith(prefix)]
        counts = collections.Counter(shown)
        report.lost += sum(not counts[text] for text in texts)
        report.doubled += sum(count - 1 for count in counts.values())
        report.misplaced += shown != sorted(shown, key=lambda text: int(text.split()[-1]))
    unknown = [line for line in out if not line.startswith("slice-0-")]
    if unknown:
        report.wrong.append(f"logs -f: {unknown[0]}")
