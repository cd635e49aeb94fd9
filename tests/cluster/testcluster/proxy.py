"""A forward proxy for one sandbox: what runs inside reaches the package indexes through this process.

It serves CONNECT alone, on the sandbox's wire, so nobody else reaches it. It is a thread of the process that
owns the sandbox, and ends with that.
"""

import contextlib
import re
import socket
import socketserver
import threading

REQUEST = re.compile(rb"CONNECT ([\w.-]+):(\d+) HTTP/1\.[01]\r\n")
HEADER_BYTES = 65536
CONNECT_SECONDS = 30


class _Tunnel(socketserver.StreamRequestHandler):
    """One connection: read the name of a host, connect, pass bytes both ways."""

    def handle(self) -> None:
        match = REQUEST.fullmatch(self.rfile.readline(HEADER_BYTES))
        while self.rfile.readline(HEADER_BYTES) not in (b"\r\n", b""):
            pass
        if not match:
            self.wfile.write(
                b"HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\nContent-Length: 0\r\n\r\n"
            )
            return
        address = (match[1].decode(), int(match[2]))
        try:
            upstream = socket.create_connection(address, CONNECT_SECONDS)
        except OSError:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with upstream:
            upstream.settimeout(None)
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pass, args=(upstream, self.connection), daemon=True)
            back.start()
            _pass(self.connection, upstream)
            back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


class Proxy:
    """A running proxy; `url` for HTTPS_PROXY."""

    def __init__(self, address: str) -> None:
        self._server = _Server((address, 0), _Tunnel)
        self.url = f"http://{address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        """Accept no more connections."""
        self._server.shutdown()
        self._server.server_close()
