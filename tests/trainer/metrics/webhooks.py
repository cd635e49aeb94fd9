"""A server on this machine that receives the messages of runs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = "/services/T0/B0/a-secret"


class Receiver:
    """Documents that were sent, and the status that each of them is answered with.

    Attributes:
      url: where to send.
      documents: what came, one after the other, each attempt of a message too.
      answers: statuses still to be given, 200 once they are used up; 0: no answer while the server runs.
    """

    def __init__(self, *answers: int):
        self.answers, self.documents = list(answers), []
        self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == PATH
                assert self.headers["Content-Type"] == "application/json"
                receiver.documents.append(json.loads(body))
                status = receiver.answers.pop(0) if receiver.answers else 200
                if not status:
                    receiver.over.wait(60)
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}{PATH}"


@contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    receiver = Receiver(*answers)
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
