"""A server that answers every request with 503: `python -m testcluster.unavailable ADDRESS PORT`."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Unavailable(BaseHTTPRequestHandler):
    """Reads what is sent, so that a client sees the answer and not a reset, then refuses."""

    protocol_version = "HTTP/1.1"

    def refuse(self) -> None:
        length = self.headers.get("Content-Length")
        self.close_connection = True  # a chunked body is not read to its end
        self.rfile.read(int(length)) if length else None
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = refuse


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Unavailable).serve_forever()
