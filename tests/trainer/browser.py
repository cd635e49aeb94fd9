"""A real browser for a test: Chromium without a window, asked over its own protocol, with no network."""

import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import websocket

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(PROGRAM is None, reason=f"needs a browser on PATH: {', '.join(NAMES)}")

FLAGS = (
    "--headless",
    "--no-sandbox",  # root may not run with it
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
START_SECONDS, ANSWER_SECONDS = 60.0, 30.0


class Browser:
    """One page. Ends with ``close``.

    Attributes:
      asked: addresses of everything that the page opened last has loaded, data: aside.
      complaints: what the browser had to say of it: errors, failed loads.
    """

    def __init__(self, folder: Path):
        assert PROGRAM
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self._numbers = itertools.count(1)
        self._process = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._socket = websocket.create_connection(self._address(folder), timeout=ANSWER_SECONDS)
            for domain in ("Page", "Network", "Log", "Runtime"):
                self._call(f"{domain}.enable")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def open(self, path: Path, width: int, dark: bool = False) -> None:
        """Opens a file in a window of so many pixels and waits until all of it is there."""
        self.asked, self.complaints = [], []
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.navigate", url=path.as_uri())
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript on the page."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(ANSWER_SECONDS)

    def _address(self, folder: Path) -> str:
        """Of the page, from the port that the browser has chosen on this machine."""
        chosen, deadline = folder / "DevToolsActivePort", time.monotonic() + START_SECONDS
        while not chosen.exists() or not chosen.read_text().strip():
            assert self._process.poll() is None, "the browser ended"
            assert time.monotonic() < deadline, "the browser does not answer"
            time.sleep(0.05)
        port = chosen.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=ANSWER_SECONDS) as answer:
            pages = json.load(answer)
        return next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")

    def _call(self, method: str, **given: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": given}))
        while (message := self._receive()).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._socket.recv())
        told = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent" if not told["request"]["url"].startswith("data:"):
                self.asked.append(told["request"]["url"])
            case "Network.loadingFailed":
                self.complaints.append(told["errorText"])
            case "Log.entryAdded":
                self.complaints.append(told["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(told["exceptionDetails"]["text"])
        return message
