"""``python -m trainer``: parse the flags, join the other hosts, train, end with one of our exit codes."""

import time

STARTED = time.time()  # before the imports below, which take seconds

import contextlib  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402

PYTHON = (3, 11)  # as requires-python in pyproject.toml
if sys.version_info < PYTHON:
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"error: the trainer needs Python 3.11 or newer, got {version} ({sys.executable})", file=sys.stderr)
    sys.exit(44)  # ExitCode.FATAL, whose module an older Python cannot read

# These need the standard library only; `run` imports the rest, so that a missing package has its exit code.
from trainer.errors import HINT, ExitCode, TrainError  # noqa: E402
from trainer.metrics.notification import Notified, Notifier  # noqa: E402
from trainer.runtime import collector  # noqa: E402
from trainer.runtime.exit import leave, part  # noqa: E402
from trainer.runtime.messages import complain  # noqa: E402
from trainer.runtime.streams import quieten, reserve_stdout  # noqa: E402


def main() -> None:
    """Train, then end the process with an exit code of ``trainer.errors.ExitCode``; never returns."""
    notifier, message = Notifier(os.environ, sys.argv[1:]), ""
    try:
        run(sys.argv[1:], notifier)
        code = ExitCode.FINISHED
    except SystemExit as stop:  # --help
        code = int(stop.code or 0)
    except TrainError as error:
        complain(message := str(error))
        code = error.exit_code
    except (ImportError, SyntaxError) as error:
        traceback.print_exc()
        complain(message := incomplete(error))
        code = ExitCode.FATAL  # another attempt imports the same files
    except BaseException as error:
        traceback.print_exc()
        complain(message := f"{type(error).__name__}: {error}")
        code = ExitCode.RETRY
    notifier.failed(code, message)
    if code in (ExitCode.FINISHED, ExitCode.PREEMPTED, ExitCode.FATAL):
        part()  # every host ends with this code; one that leaves too early would abort the others
    notifier.close()
    leave(code)


def incomplete(error: Exception) -> str:
    """Return the message of an installation in which a module is missing or cannot be read."""
    problem = f"the trainer is not completely installed for {sys.executable}: {error}"
    return f"{problem}\n{HINT}an image from this repository, or pip install '.[train]' in a checkout of it"


def run(arguments: list[str], notifier: Notifier) -> None:
    """Join the other hosts and train.

    Args:
      notifier: gets the events of the run; its end and its failure are the caller's.

    Raises:
      TrainError: states the exit code with which the process must end.
    """
    quieten(os.environ)
    collector.pause()
    from trainer.arguments import parse
    from trainer.metrics.lines import EventLine, format_of
    from trainer.rundir.events import Preempted
    from trainer.runtime.joining import join_hosts, read_environment
    from trainer.runtime.preemption import EarlyExit
    from trainer.runtime.watchdog import Watchdog

    config = parse(arguments)
    log = config.log
    notifier.configure(config.name, config.run_dir, log.notify_restarts, log.notify_format)
    job = read_environment(os.environ)
    early = EarlyExit(format_of(config.log.format)(EventLine.KIND, Preempted(step=0).row()))
    reserve_stdout(hosts_on_cpu=job.platform == "cpu" and job.hosts > 1)  # its thread inherits the mask
    watchdog = Watchdog(config.train.first_step_seconds, config.train.hang_seconds, notifier.hung)
    join_hosts(job, config.train.join_seconds)
    joined = time.time()

    from trainer.metrics.display import make_display
    from trainer.train import train  # takes seconds, which a wrong flag or a missing host need not wait for

    collector.resume()
    early.stop()
    display = Notified(make_display(config.log.format), notifier)
    if config.log.metrics_port:
        import jax

        from trainer.metrics.prometheus import Exporter

        if jax.process_index() == 0:
            address = "127.0.0.1" if job.on_one_machine else "0.0.0.0"
            display = Exporter(display, config.log.metrics_port, address)
    with contextlib.ExitStack() as closing:
        closing.callback(display.close)
        train(config, job, display, watchdog, {"start": STARTED, "joined": joined}, closing)


if __name__ == "__main__":
    main()
