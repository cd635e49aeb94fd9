"""Equal arrays of many blocks as one array [blocks, ...] between the steps of a run.

A program of 1,001 layers would have 8,012 arrays on each side, and operations of its own that read, update
and write each of them: its layout for a TPU took two minutes, although the blocks are scanned. With one array
in the place of those of all blocks it has 164, and takes seconds. Checkpoints and exports have an array per
block, by its name.

Stacked arrays fit optimizers that treat each number for itself, and not those that take the norm of an array:
``trainer.program`` has the rule.
"""

import contextlib
import contextvars
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from trainer.state import Arrays

LEAST_BLOCKS = 4  # fewer gain nothing
OF_BLOCK = re.compile(r"(?P<before>[^0-9]*\.)(?P<number>[0-9]+)(?P<after>\..*)")  # blocks.0.conv1.kernel

# id of a row -> (the row, the array it is a row of, its number). The row is kept, so that its id is its own.
Rows = dict[int, tuple[jax.Array, jax.Array, int]]
_rows: contextvars.ContextVar[Rows | None] = contextvars.ContextVar("rows", default=None)


@dataclass(frozen=True)
class Stacks:
    """Which arrays of a network make one.

    Attributes:
      members: name of the stacked array -> names of its rows, in order.
    """

    members: Mapping[str, tuple[str, ...]]

    def stacked(self, tree: Any) -> Any:
        """Return a state, or a part of one, with stacked arrays in the place of their rows.

        Args:
          tree: dicts of arrays by name, in tuples of any kind.
        """
        return self._mapped(tree, self._stacked_arrays)

    def separate(self, tree: Any) -> Any:
        """Return a state, or a part of one, with an array per name in the place of stacked ones."""
        return self._mapped(tree, self._separate_arrays)

    def like(self, arrays: Arrays, other: Arrays) -> Arrays:
        """Return arrays by name, stacked as others are."""
        return self._stacked_arrays(arrays) if other.keys() & self.members.keys() else arrays

    def _mapped(self, tree: Any, function: Callable[[Arrays], Arrays]) -> Any:
        if not self.members:
            return tree
        return jax.tree.map(lambda leaf: function(leaf) if _is_dict(leaf) else leaf, tree, is_leaf=_is_dict)

    def _stacked_arrays(self, arrays: Arrays) -> Arrays:
        chosen = {name: rows for name, rows in self.members.items() if rows[0] in arrays}
        others = arrays.keys() - set(itertools.chain.from_iterable(chosen.values()))
        stacked = {name: stack([arrays[row] for row in rows]) for name, rows in chosen.items()}
        return {name: arrays[name] for name in arrays if name in others} | stacked

    def _separate_arrays(self, arrays: Arrays) -> Arrays:
        separate: Arrays = {}
        for name, array in arrays.items():
            rows = self.members.get(name)
            separate |= {name: array} if rows is None else dict(zip(rows, rows_of(array), strict=True))
        return separate


def stacks_of(variables: Mapping[str, Any], least: int) -> Stacks:
    """Return the stacks of neighbouring blocks that are equal.

    Args:
      variables: name -> kind, shape and dtype of its array, as anything that can be compared.
      least: blocks of a stack; fewer blocks keep their arrays.
    """
    blocks: dict[tuple[str, int], dict[str, Any]] = {}
    for name, kind in variables.items():
        if match := OF_BLOCK.fullmatch(name):
            blocks.setdefault((match["before"], int(match["number"])), {})[match["after"]] = kind
    members: dict[str, tuple[str, ...]] = {}
    ordered = sorted(blocks)
    for (before, kinds), group in itertools.groupby(ordered, lambda b: (b[0], sorted(blocks[b].items()))):
        numbers = [number for _, number in group]
        if len(numbers) >= least:
            for after, _ in kinds:
                joined = f"{before}{numbers[0]}-{numbers[-1]}{after}"
                members[joined] = tuple(f"{before}{number}{after}" for number in numbers)
    return Stacks(members)


@contextlib.contextmanager
def rows_remembered() -> Iterator[None]:
    """While a function is traced: the rows of an array that are stacked again are that array."""
    token = _rows.set({})
    try:
        yield
    finally:
        _rows.reset(token)


def rows_of(array: jax.Array) -> list[jax.Array]:
    """Return the rows of an array, [...] of [n, ...]."""
    rows = list(_unstack(array))
    if (remembered := _rows.get()) is not None:
        remembered |= {id(row): (row, array, number) for number, row in enumerate(rows)}
    return rows


def stack(rows: Sequence[jax.Array]) -> jax.Array:
    """Return an array [n, ...] of n arrays [...]: the one whose rows they are, where there is one."""
    if (remembered := _rows.get()) is not None:
        origins = [remembered.get(id(row)) for row in rows]
        if (first := origins[0]) and len(first[1]) == len(rows):
            source = first[1]
            if all(o and o[1] is source and o[2] == number for number, o in enumerate(origins)):
                return source
    return _stack(tuple(rows))


def _unstack(array: jax.Array) -> list[jax.Array]:
    if isinstance(array, Tracer):
        return [jax.lax.index_in_dim(array, i, keepdims=False) for i in range(len(array))]
    first, row = _compiled_rows(array.sharding)
    rows, number = [], first()
    for _ in range(len(array)):
        one, number = row(array, number)
        rows.append(one)
    return rows


def _stack(rows: tuple[jax.Array, ...]) -> jax.Array:
    if isinstance(rows[0], Tracer) or not isinstance(rows[0], jax.Array):  # of numpy: a file's weights
        return jnp.stack(rows)
    return _compiled_stack(rows[0].sharding)(rows)


@functools.cache
def _compiled_rows(sharding: Any) -> tuple[Any, Any]:
    """Functions that return the number 0, and a row with the number of the next one.

    One small program serves all rows of a shape. The number stays on the devices, since a run's steps may not
    wait for one from the host.
    """
    first = jax.jit(lambda: jnp.zeros((), jnp.int32), out_shardings=sharding)
    return first, jax.jit(lambda array, number: (array[number], number + 1), out_shardings=sharding)


@functools.cache
def _compiled_stack(sharding: Any) -> Any:
    return jax.jit(jnp.stack, out_shardings=sharding)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
