"""Messages to people about a run: its end, its failure, every Nth restart. The first host sends them.

Imports only what a fresh process has at once: a failure of the installation is a message too.
"""

import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from trainer.errors import ExitCode
from trainer.metrics.webhook import Webhook, is_slack, valid
from trainer.runtime.environment import Variable
from trainer.runtime.messages import warn

LONGEST_REASON = 500  # characters of an error in a message
# By these GKE tells a TPU host its place, before it has joined the others.
TPU_PLACE = ("TPU_WORKER_ID", "MEGASCALE_SLICE_ID")
PLACE = (Variable.COMPLETION_INDEX, Variable.SLICE_INDEX)


class Notifier:
    """Sends a message when something of interest happens to a run; does nothing without a URL.

    Args:
      env: environment of the process. The URL is taken out, so that no program which it starts has it.
      arguments: flags of the trainer, for the run's name while they are not parsed.
    """

    def __init__(self, env: MutableMapping[str, str], arguments: Sequence[str] = ()):
        url = env.pop(Variable.NOTIFY, "").strip()
        self._restart = _number(env, Variable.RESTART)
        self._last_restart = _number(env, Variable.MAX_RESTARTS)
        self._facts: dict[str, Any] = {"run": _after(arguments, "--name") or "run"}
        self._facts |= {"run_dir": _after(arguments, "--run-dir") or None}
        self._every, self._format = 1, "auto"
        self._slack = bool(url) and valid(url) and is_slack(url)
        self._webhook = None
        if url and not valid(url):
            warn(f"{Variable.NOTIFY}: must be an http:// or https:// URL; no message is sent")
        elif url and is_first(env):
            self._webhook = Webhook(url)

    def configure(self, name: str, run_dir: str, every: int, form: str) -> None:
        """Use the settings of the run: `log.notify_restarts` and `log.notify_format`."""
        self._facts |= {"run": name, "run_dir": run_dir or None}
        self._every, self._format = every, form

    def saw(self, row: Mapping[str, Any]) -> None:
        """Take the newest figures of the run from a row of its log."""
        names = ("step", "steps", "accuracy")
        self._facts |= {name: row[name] for name in names if row.get(name) is not None}

    def event(self, row: Mapping[str, Any]) -> None:
        """Send what an event calls for: a restart that is due, or the end."""
        self.saw(row)
        name = self._facts["run"]
        if row["name"] == "start" and self._restart and self._every and self._restart % self._every == 0:
            step = row.get("before_step")
            reached = f"; the last attempt had reached step {step}" if step is not None else ""
            self._send("restart", f"{name} has been restarted {_times(self._restart)}{reached}", step=step)
        if row["name"] == "end":
            accuracy, goodput = row.get("accuracy"), row.get("goodput")
            figures = [f"{row['step']} steps"]
            figures += [f"accuracy {accuracy:.2%}"] if accuracy is not None else []
            figures += [f"goodput {goodput:.0%}"] if goodput is not None else []
            self._send("end", f"{name} has finished: {', '.join(figures)}", goodput=goodput)

    def failed(self, code: int, reason: str) -> None:
        """Send that the run has failed, where no restart follows or none may follow.

        A restart after a failure has its own message. Restarts after a preemption are counted here and not by
        the JobSet, so that the message may come for a failure which is not the last; it never lacks.
        """
        if code in (ExitCode.FINISHED, ExitCode.PREEMPTED):
            return
        final = code == ExitCode.FATAL
        if not final and self._restart < self._last_restart:
            return
        known = {each.value: each.meaning for each in ExitCode}
        after = f" after {self._restart} restart{'s' * (self._restart > 1)}" if self._restart else ""
        first = reason.splitlines()[0] if reason else ""
        text = f"{self._facts['run']} has failed{after} ({known.get(code, f'exit code {code}')}): {first}"
        self._send("failure", text, exit_code=int(code), reason=reason[:LONGEST_REASON])

    def hung(self, reason: str) -> None:
        """Send that the run hangs, as ``failed`` does, and wait for it: the process ends afterwards."""
        self.failed(ExitCode.HUNG, reason)
        self.close()

    def close(self) -> None:
        """Wait until the messages are sent, for a bounded time (``webhook.LONGEST_SECONDS``)."""
        if self._webhook:
            self._webhook.close()
            self._webhook = None

    def _send(self, event: str, text: str, **facts: Any) -> None:
        if not self._webhook:
            return
        if self._format == "slack" or (self._format == "auto" and self._slack):
            self._webhook.send({"text": _escaped(text)})
            return
        row = {"text": text, "event": event, **self._facts, "restart": self._restart, **facts}
        row["at"] = round(time.time(), 3)
        self._webhook.send({name: value for name, value in row.items() if value is not None})


class Notified:
    """A display whose rows also reach a Notifier."""

    def __init__(self, display: Any, notifier: Notifier):
        self._display, self._notifier = display, notifier

    def event(self, row: dict[str, Any]) -> None:
        self._display.event(row)
        self._notifier.event(row)

    def progress(self, row: dict[str, Any]) -> None:
        self._display.progress(row)
        self._notifier.saw(row)

    def evaluating(self, done: int, total: int) -> None:
        self._display.evaluating(done, total)

    def evaluation(self, row: dict[str, Any]) -> None:
        self._display.evaluation(row)
        self._notifier.saw(row)

    def close(self) -> None:
        self._display.close()


def is_first(env: Mapping[str, str]) -> bool:
    """Return whether this is process 0 of its run, from variables that stand before it joins."""
    names = TPU_PLACE if env.get(Variable.PLATFORM) == "tpu" else PLACE
    return all(_number(env, name) == 0 for name in names)


def _number(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "").strip()
    return int(text) if text.isascii() and text.isdecimal() else 0


def _after(arguments: Sequence[str], flag: str) -> str:
    """Return the value of a flag in arguments that may be wrong."""
    for position, argument in enumerate(arguments):
        if argument == flag:
            return (*arguments, "")[position + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _escaped(text: str) -> str:
    """Return a text as Slack takes it, which reads `<`, `>` and `&` as marks."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
