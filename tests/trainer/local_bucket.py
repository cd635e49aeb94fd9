"""A bucket on this machine: the few requests of Google Cloud Storage that reading it takes."""

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google_crc32c


@contextmanager
def serving(objects: dict[str, bytes]) -> Iterator[str]:
    """Serve objects, name -> content, which may change meanwhile; yield the server's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            name = urllib.parse.unquote(url.path.rpartition("/o/")[2])
            if url.path.endswith("/o"):
                items = [{"name": key, "size": str(len(data))} for key, data in objects.items()]
                self.reply(200, json.dumps({"items": items}).encode())
            elif name not in objects:
                self.reply(404, b"{}")
            elif "media" in url.query:
                self.reply(200, objects[name])
            else:
                self.reply(200, json.dumps(described(name, objects[name])).encode())

        def reply(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def described(name: str, data: bytes) -> dict[str, str]:
    checksum = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
    return {"name": name, "bucket": "b", "size": str(len(data)), "generation": "1", "crc32c": checksum}
