"""A headless Chromium for tests, driven over the DevTools protocol, without network access."""

import contextlib
import itertools
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(PROGRAM is None, reason=f"needs a browser on PATH: {', '.join(NAMES)}")

# With a pipe the browser listens on no port, and ends with the test process even if that is killed.
FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium refuses to run as root with a sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
# --remote-debugging-pipe reads from file descriptor 3 and writes to 4.
START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
TIMEOUT_SECONDS = 60.0

# Every text that is shown, with its contrast as WCAG 2 defines it: against the nearest opaque background.
CONTRAST = """
(() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (alpha > 0) layers.push([r, g, b, alpha]);
      if (alpha === 1) break;
    }
    return layers.reverse().reduce((under, [r, g, b, a]) =>
      [r, g, b].map((v, i) => a * v + (1 - a) * under[i]), [255, 255, 255]);
  };
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || !element.getClientRects().length || element.closest("style, script")) continue;
    const style = getComputedStyle(element), inSvg = element.closest("svg");
    const ink = light(numbers(inSvg ? style.fill : style.color)), under = light(behind(element));
    const ratio = (Math.max(ink, under) + 0.05) / (Math.min(ink, under) + 0.05);
    texts.push([text, ratio]);
  }
  return texts;
})()
"""


class Browser:
    """A browser with one page; call ``close`` to end it.

    Attributes:
      requests: addresses that the current page has loaded, without data: URLs.
      problems: errors of the current page: failed loads, log entries, exceptions.
    """

    def __init__(self, folder: Path):
        assert PROGRAM
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        self._received = b""
        (theirs_in, self._to), (self._from, theirs_out) = os.pipe(), os.pipe()
        program = (PROGRAM, *FLAGS, f"--user-data-dir={folder}")
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs_in), str(theirs_out), *program],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            page = self._call("Target.createTarget", url="about:blank")["targetId"]
            attached = self._call("Target.attachToTarget", targetId=page, flatten=True)
            self._session = {"sessionId": attached["sessionId"]}
            for domain in ("Page", "Network", "Log", "Runtime"):
                self._call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def open(self, path: Path, width: int, dark: bool = False) -> None:
        """Open a file in a window ``width`` pixels wide and wait until it has loaded."""
        self.requests, self.problems = [], []
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.navigate", url=path.as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression on the page."""
        evaluated = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in evaluated, evaluated
        return evaluated["result"].get("value")

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):  # the browser may have ended by itself
            self._session = {}
            self._call("Browser.close")
        os.close(self._to)
        os.close(self._from)
        self._process.wait(TIMEOUT_SECONDS)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params} | self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (message := self._receive()).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._next())
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent" if not params["request"]["url"].startswith("data:"):
                self.requests.append(params["request"]["url"])
            case "Network.loadingFailed":
                self.problems.append(params["errorText"])
            case "Log.entryAdded":
                self.problems.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.problems.append(params["exceptionDetails"]["text"])
        return message

    def _next(self) -> bytes:
        """Return the next message; each ends with a zero byte."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._from, selectors.EVENT_READ)
            while b"\0" not in self._received:
                assert selector.select(max(deadline - time.monotonic(), 0)), "the browser does not answer"
                more = os.read(self._from, 1 << 20)
                assert more, "the browser ended"
                self._received += more
        message, _, self._received = self._received.partition(b"\0")
        return message


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for the tests of a module."""
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()
