"""A proxy in front of the bucket emulator that fails on purpose: 503, broken and silent connections."""

import http.client
import socket
import struct
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK = 65_536


class Faults:
    """Forwards requests and injects faults: `answer` into any request, the other methods into downloads."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urllib.parse.urlsplit(upstream).netloc
        self._lock = threading.Lock()
        self._rule: tuple[str, int, int, float] = ("", 0, 0, 0.0)  # kind, times left, bytes or code, seconds
        self._delay_seconds = 0.0
        self.spoilt = 0
        self.served_bytes = 0  # content of objects
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                proxy.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = pass_on

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Faults":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer_503(self, times: int) -> None:
        self.answer(503, times)

    def answer(self, code: int, times: int) -> None:
        """Answer the next requests of any kind with this status."""
        self._rule = ("status", times, code, 0.0)

    def reset_after(self, count: int, times: int) -> None:
        """Reset the next downloads after `count` bytes."""
        self._rule = ("reset", times, count, 0.0)

    def stall_after(self, count: int, times: int, seconds: float) -> None:
        """Stop sending in the next downloads after `count` bytes, then reset after `seconds`."""
        self._rule = ("stall", times, count, seconds)

    def slow_down(self, seconds: float) -> None:
        """Delay the first byte of every download."""
        self._delay_seconds = seconds

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length) if length else None
        download = "alt=media" in request.path
        if self._take("status"):
            request.send_response(self._rule[2])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        upstream = http.client.HTTPConnection(self._upstream, timeout=60)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "connection"}
        upstream.request(request.command, request.path, body, headers)
        reply = upstream.getresponse()
        if download and self._delay_seconds:
            time.sleep(self._delay_seconds)
        content = reply.read()
        if not download:  # metadata has the URL of the content, which must lead through this proxy
            own = urllib.parse.urlsplit(self.url).netloc
            content = content.replace(self._upstream.encode(), own.encode())
        request.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        upstream.close()
        self._send(request, content, download)

    def _send(self, request: BaseHTTPRequestHandler, content: bytes, download: bool) -> None:
        kind = next((kind for kind in ("reset", "stall") if download and self._take(kind)), "")
        end = min(self._rule[2], len(content) // 2) if kind else len(content)
        try:
            for start in range(0, end, BLOCK):
                request.wfile.write(content[start : min(start + BLOCK, end)])
        except OSError:
            return
        with self._lock:
            self.served_bytes += end if download else 0
        if kind == "stall":
            time.sleep(self._rule[3])
        if kind:
            # With a linger time of 0, close sends RST instead of FIN.
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close_connection = True
            request.connection.close()

    def _take(self, kind: str) -> bool:
        with self._lock:
            rule, times, *details = self._rule
            if rule != kind or not times:
                return False
            self._rule = (rule, times - 1, *details)  # type: ignore[assignment]
            self.spoilt += 1
            return True
