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
                self.reply(200, json.dumps(listed(objects, urllib.parse.parse_qs(url.query))).encode())
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


def listed(objects: dict[str, bytes], query: dict[str, list[str]]) -> dict[str, object]:
    """A page of names as the bucket answers: those below a prefix, up to the next delimiter."""
    (start,), delimiter = query.get("prefix", [""]), query.get("delimiter", [""])[0]
    items, prefixes = [], set()
    for name, data in objects.items():
        if not name.startswith(start):
            continue
        first, slash, _ = name.removeprefix(start).partition(delimiter) if delimiter else (name, "", "")
        if slash:
            prefixes.add(f"{start}{first}{delimiter}")
        else:
            items.append({key: described(name, data)[key] for key in ("name", "size", "crc32c")})
    return {"items": items, "prefixes": sorted(prefixes)}


def described(name: str, data: bytes) -> dict[str, str]:
    checksum = base64.b64encode(google_crc32c.Checksum(data).digest()).decode()
    return {"name": name, "bucket": "b", "size": str(len(data)), "generation": "1", "crc32c": checksum}
