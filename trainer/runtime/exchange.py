"""Short texts between the hosts of a run, for a thread that works beside the training loop.

They go through the coordination service, so that they never mix with the collectives of the devices, whose
order must be the same on all hosts. A wait ends after WAIT_SECONDS; JAX ends this process earlier where
another one dies.
"""

import itertools

import jax

from trainer.errors import JoinError
from trainer.runtime.agreement import WAIT_SECONDS, coordination_client

_numbers = itertools.count()


class Exchange:
    """Texts by name. Make the exchanges of a run in the same order on every host.

    Each name may be posted once. A process that runs alone has nobody to post to or to read from.
    """

    def __init__(self) -> None:
        self._prefix = f"resnet/exchange/{next(_numbers)}"
        self._client = coordination_client()

    def post(self, name: str, text: str) -> None:
        """Make a text known to all hosts.

        Raises:
          JoinError: the first host is gone.
        """
        if jax.process_count() == 1:
            return
        try:
            self._client.key_value_set(f"{self._prefix}/{name}", text)
        except RuntimeError as error:
            raise JoinError(f"the first host is gone: {error}") from error

    def read(self, name: str, process: int) -> str:
        """Return a text once it has been posted.

        Args:
          name: name of the text.
          process: host that posts it, for the error.

        Raises:
          JoinError: that host is gone, or has posted nothing for 15 minutes.
        """
        try:
            return self._client.blocking_key_value_get(f"{self._prefix}/{name}", WAIT_SECONDS * 1000)
        except RuntimeError as error:
            raise JoinError(f"host {process} is gone: {error}") from error

    def forget(self) -> None:
        """Delete the texts, once every host has read them."""
        if jax.process_count() > 1 and jax.process_index() == 0:
            self._client.key_value_delete(self._prefix)
