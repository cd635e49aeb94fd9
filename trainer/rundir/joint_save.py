"""A save in which every host writes its parts of the state, through Orbax's sharded format.

Each host writes a database of its own below the temporary folder of a checkpoint, and the first host merges
them, writes the rest and renames the folder. The hosts speak through an ``Exchange``, in a thread that saves:

    every host   checksums/P   the checksums of its parts
    first host   attempt/N     the folder to write to; empty: the save has ended, saved or not
    other hosts  result/N/P    empty, or why the parts could not be written

An attempt ends once every host has written or failed, so that no host writes to a folder that is given up.
"""

import asyncio
import itertools
import json
import os
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from etils import epath

# Orbax has no public name for the layout of an array of which a host has a part only in its memory.
from orbax.checkpoint._src.serialization.tensorstore_utils import build_array_write_spec
from orbax.checkpoint.type_handlers import create_type_handler_registry, get_type_handler, supported_types

from trainer.errors import first_line, is_permanent, system_error_of
from trainer.rundir import damage
from trainer.rundir.parts import Parts, checksum
from trainer.runtime.exchange import Exchange

FOLDER = "ocdbt.process_{}"  # of one host's database, as Orbax calls it


class PartsHandler(ocp.type_handlers.NumpyHandler):
    """Writes the parts that this host has of each array; what it wrote is read as any array.

    Attributes:
      lead: on the first host, in a save that all hosts write.
    """

    def __init__(self) -> None:
        super().__init__(deepcopy_host_arrays=False)  # the parts have memory of their own
        self.lead: Lead | None = None

    async def _background_serialize(
        self, values: Sequence[Any], infos: Sequence[Any], args: Sequence[Any] | None = None
    ) -> None:
        """Write to a folder that exists by now, and wait until the other hosts have written there too."""
        directory = infos[0].parent_dir
        if self.lead:
            self.lead.begin(directory)
        try:
            writing = zip(values, infos, args or [None] * len(values), strict=True)
            await _all(_write(parts, info, arg) for parts, info, arg in writing)
        finally:
            problem = self.lead and self.lead.end_attempt()
        if problem:
            raise problem
        if self.lead:
            self.lead.check(directory)


async def _write(parts: Parts, info: Any, args: Any) -> None:
    if not parts.pieces:
        return
    spec = build_array_write_spec(
        info=info,
        arg=args,
        global_shape=parts.shape,
        local_shape=parts.part_shape,
        dtype=parts.dtype,
        use_ocdbt=True,
        process_index=jax.process_index(),
    ).json
    if 0 in parts.pieces:  # its host writes the array's metadata, which every host knows
        await ts.open(ts.Spec(spec), create=True, open=True, context=info.ts_context)
    array = await ts.open(ts.Spec(spec), open=True, assume_metadata=True, context=info.ts_context)
    await _all(
        array[parts.index(number)].write(piece, can_reference_source_data_indefinitely=True)
        for number, piece in parts.pieces.items()
    )


async def _all(writes: Iterable[Awaitable[Any]]) -> None:
    """Wait until each write has ended, and raise the first failure: the next attempt has the same folder."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def state_handler(processes: set[int], parts: PartsHandler) -> ocp.PyTreeCheckpointHandler:
    """Return Orbax's handler of the state: it reads a checkpoint, and writes arrays or parts of arrays.

    Args:
      processes: hosts that wait for each other in it.
      parts: handler of the parts.
    """
    kinds = [(kind, get_type_handler(kind)) for kind in supported_types()]
    return ocp.PyTreeCheckpointHandler(
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            active_processes=processes, barrier_sync_key_prefix="first"
        ),
        # Compression would make weights a twelfth smaller, but a save would take 2.5 times as long.
        use_compression=False,
        type_handler_registry=create_type_handler_registry((Parts, parts), *kinds),
    )


class OtherHostError(Exception):
    """Another host could not write its parts, for a reason that is none of the operating system's."""


class RefusedError(OtherHostError, ValueError):
    """The same, for a reason that trying again does not help: ``is_permanent`` goes by the type."""


class Lead:
    """The first host's side of one save. Call ``checksums``, attempt saves, and ``end`` whatever happened.

    Args:
      exchange: of this save.
      hosts: hosts that have a part to save.
    """

    def __init__(self, exchange: Exchange, hosts: set[int]):
        self._exchange = exchange
        self._attempt = 0
        self._hosts = hosts

    def checksums(self, leaves: dict[str, Parts]) -> dict[str, list[int]]:
        """Return the checksums of all parts of each array, those of the other hosts included."""
        everywhere = [checksums(leaves)]
        for process in range(1, jax.process_count()):
            everywhere.append(json.loads(self._exchange.read(f"checksums/{process}", process)))
        whole = {}
        for name, parts in leaves.items():
            known = {int(n): crc for each in everywhere for n, crc in each.get(name, {}).items()}
            whole[name] = [known[number] for number in range(parts.count)]
        return whole

    def begin(self, directory: Any) -> None:
        """Let the other hosts write their parts below a folder."""
        self._exchange.post(f"attempt/{self._attempt}", str(directory))

    def end_attempt(self) -> Exception | None:
        """Wait for the other hosts; return why one of them could not write its parts."""
        attempt, self._attempt = self._attempt, self._attempt + 1
        problems = []
        for process in range(1, jax.process_count()):
            if text := self._exchange.read(f"result/{attempt}/{process}", process):
                problems.append(_problem(text, process))
        return problems[0] if problems else None

    def check(self, directory: epath.Path) -> None:
        """Check that what the other hosts wrote can be seen from here.

        Raises:
          OtherHostError: it cannot, as on a network file system that lags behind.
        """
        for host in sorted(self._hosts):
            if not (directory / FOLDER.format(host)).exists():
                raise OtherHostError(f"what host {host} wrote is not in {directory} yet")

    def end(self) -> None:
        """Let the other hosts go on: the save has ended, saved or not."""
        self._exchange.post(f"attempt/{self._attempt}", "")


def follow(exchange: Exchange, named: Any, leaves: dict[str, Parts]) -> None:
    """The other hosts' side of one save: write the parts of this host as often as the first host asks.

    Args:
      exchange: of this save.
      named: the state as a tree of Parts.
      leaves: its arrays by name.

    Raises:
      JoinError: the first host is gone.
    """
    damage.silence()
    me = jax.process_index()
    exchange.post(f"checksums/{me}", json.dumps(checksums(leaves)))
    handler = state_handler({me}, PartsHandler())
    for attempt in itertools.count():
        if not (directory := exchange.read(f"attempt/{attempt}", 0)):
            return
        problem = ""
        try:
            handler.save(epath.Path(directory), args=ocp.args.PyTreeSave(named))
        except Exception as error:  # Orbax and TensorStore have many kinds, and plain ones
            problem = _described(error)
        exchange.post(f"result/{attempt}/{me}", problem)


def checksums(leaves: dict[str, Parts]) -> dict[str, dict[int, int]]:
    """Return the checksum of each part that this host saves: name -> number of the part -> CRC-32."""
    return {name: {n: checksum(p) for n, p in parts.pieces.items()} for name, parts in leaves.items()}


def differing(array: np.ndarray, part_shape: Sequence[int], expected: Sequence[int]) -> bool:
    """Return whether an array differs from the checksums of its parts."""
    divides = len(part_shape) == array.ndim and all(
        n % part == 0 for n, part in zip(array.shape, part_shape, strict=True) if part
    )
    parts = Parts(shape=array.shape, part_shape=tuple(part_shape), dtype=array.dtype, pieces={})
    if not divides or parts.count != len(expected):
        return True
    return any(checksum(array[parts.index(number)]) != crc for number, crc in enumerate(expected))


def _described(error: Exception) -> str:
    system_error = system_error_of(error)
    failure = {"errno": system_error and system_error.errno, "permanent": is_permanent(error)}
    return json.dumps(failure | {"reason": first_line(error)})


def _problem(text: str, process: int) -> Exception:
    """Return the failure of another host as it would be one of this host, so that it is treated alike."""
    failure = json.loads(text)
    if code := failure["errno"]:
        return OSError(code, f"{os.strerror(code)} (host {process})")
    kind = RefusedError if failure["permanent"] else OtherHostError
    return kind(f"{failure['reason']} (host {process})")
