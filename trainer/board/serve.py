"""The board on a port of this machine: the page is made anew for each request, reports beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from trainer.board.row import Row
from trainer.errors import ConfigError, TrainError

HOST = "127.0.0.1"  # nobody else's machine reaches it
OWN_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")
REPORT = re.compile(r"/report/(\d{1,9})")
# A report is a file of a run, which somebody else may have written: it may show itself and nothing more.
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Server(ThreadingHTTPServer):
    """A server of one board.

    Args:
      port: to listen on; 0 takes a free one.
      rows: returns the runs as they are now.
      page: returns the page for rows and the links to their reports.
      report: returns the report of a run.

    Raises:
      ConfigError: the port is in use, or may not be used.
    """

    daemon_threads = True

    def __init__(
        self,
        port: int,
        rows: Callable[[], list[Row]],
        page: Callable[[Sequence[Row], dict[str, str]], str],
        report: Callable[[Row], str],
    ):
        self.rows, self.page, self.report = rows, page, report
        self.listed: list[Row] = []  # those of the newest page: a link names a place in it
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"--serve: port {port} cannot be used: {reason}", "--serve 0 takes a free one"
            ) from None

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """Answers GET of the page and of the reports of its runs."""

    server: Server

    def do_GET(self) -> None:
        # A page of another site whose name leads to this machine must not read the runs.
        if not OWN_NAMES.fullmatch(self.headers.get("Host", "")):
            return self._reply(403, "this page is for this machine only\n", "text/plain")
        try:
            if self.path == "/":
                rows = self.server.rows()
                self.server.listed = rows
                links = {row["address"]: f"report/{n}" for n, row in enumerate(rows) if row.get("report")}
                return self._reply(200, self.server.page(rows, links), "text/html")
            match = REPORT.fullmatch(self.path)
            if match and int(match[1]) < len(self.server.listed):
                report = self.server.report(self.server.listed[int(match[1])])
                if report:
                    return self._reply(200, report, "text/html", SANDBOX)
        except TrainError as error:
            return self._reply(500, f"{error}\n", "text/plain")
        return self._reply(404, "there is no such page\n", "text/plain")

    def _reply(self, status: int, text: str, kind: str, policy: str = "") -> None:
        body = text.encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the terminal shows the address alone."""
