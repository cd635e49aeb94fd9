"""The log of one host, read over as many connections as it takes to reach its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from launcher.cluster.api import Cluster, Unreachable
from launcher.cluster.refusals import Refused
from launcher.cluster.replies import plain
from launcher.runs.log_sequence import Sequence, stamped

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)  # before the log is opened again, while it brings nothing new
FAILURES_BEFORE_NOTE = 3  # a break that the next connection mends is nobody's concern
LAST_ATTEMPTS = 8  # to read the log of a container that has ended: about half a minute
SETTLED_READS = 3  # the log of a container that has ended is complete when so many reads brought nothing new


class HostLog:
    """The log of one pod's trainer.

    Args:
      pod: name of the pod.
      note: prints a sentence about the log that is none of its lines.
      query: parameters of the first request: tailLines, sinceSeconds.

    Attributes:
      problem: why the log is not complete, in words; empty where nothing is missing so far.
    """

    def __init__(
        self, cluster: Cluster, pod: str, note: Callable[[str], None], query: dict[str, Any]
    ) -> None:
        self._cluster, self._pod, self._note, self._query = cluster, pod, note, query
        self._sequence = Sequence(partial=bool(query))
        self._unfinished = ""  # the end of the log after its last line break, with its time
        self._brought = 0  # new lines of the last connection
        self.problem = ""

    def follow(self, state: Callable[[], str], pause: Callable[[float], Any]) -> Iterator[str]:
        """Yield the lines until the container has ended and all that it printed has been read.

        Args:
          state: returns what is known of the container: "running", "ended" or "gone" with its pod, or "left"
            where nobody reads the lines any more.
          pause: waits for a number of seconds.

        Raises:
          Refused: the user may not read logs.
        """
        quiet = failures = settled = attempts = 0
        was_read = False
        while (before := state()) not in ("gone", "left"):
            unfinished = self._unfinished
            yield from self.read(follow=True)
            was_read = was_read or not self.problem
            failures = failures + 1 if self.problem else 0
            quiet = 0 if self._brought else quiet + 1
            if failures == FAILURES_BEFORE_NOTE:
                self._note(f"its log cannot be read: {self.problem}; trying again")
            if before == "ended":
                attempts = 0 if self._brought else attempts + 1
                is_settled = not (self.problem or self._brought) and self._unfinished == unfinished
                settled = settled + 1 if is_settled else 0
                is_whole = settled and self._sequence and self._sequence.has_caught_up()
                if is_whole or settled == SETTLED_READS or attempts == LAST_ATTEMPTS:
                    break
            pause(PAUSES[min(quiet, len(PAUSES) - 1)])
        if before == "gone" and (self.problem or not was_read):
            self.problem = "its pod is gone, and the last lines of its log may be missing"
            self._note(self.problem)
        yield from self.end()

    def end(self) -> Iterator[str]:
        """Yield the text after the last line break, where there is any."""
        if self._unfinished and (line := stamped(self._unfinished)):
            yield line.text
        self._unfinished = ""

    def read(self, follow: bool) -> Iterator[str]:
        """Yield the lines that one connection brings and no other has brought.

        Afterwards `problem` says why the connection ended before the log did; it is empty after a clean end.
        """
        since = self._sequence.since()
        self._sequence.reopen(since)
        query = self._query if since is None else {"sinceTime": since}
        self._brought, self.problem, self._unfinished = 0, "", ""
        words: list[str] = []  # without a time: the kubelet's own, which come instead of the log
        try:
            for raw in self._cluster.log(self._pod, follow, keepends=True, timestamps="true", **query):
                line = stamped(raw.removesuffix("\n"))
                if line is None:
                    if raw.strip():
                        words.append(plain(raw))
                    continue
                self._pass_on(words)
                if not raw.endswith("\n"):
                    self._unfinished = raw
                    continue
                for entry in self._sequence.new(line):
                    self._brought += 1
                    yield entry.text
        except Unreachable as error:
            self.problem = str(error)
        except Refused as error:
            if error.about in ("permission", "login"):
                raise
            self.problem = plain(str(error))
        if words and not self.problem:
            self.problem = " ".join(words)
        if not self.problem and not follow and not self._sequence.has_caught_up():
            self.problem = "it ended before the lines that were read before"

    def _pass_on(self, words: list[str]) -> None:
        """Show words that are followed by lines of the log, so that they do not say why it ended."""
        for text in words:
            self._note(f"in its log, without a time: {text}")
        words.clear()
