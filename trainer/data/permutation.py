"""The order of an epoch: a seeded permutation of 0..size-1, of which any part is computed by itself.

It is the permutation of Grain's ``shuffle``, bit for bit, for many positions at once: Grain computes one a
call, in 10 to 150 µs under the interpreter's lock, which is as long as a small JPEG takes. A Feistel cipher
with the round function of Simon (Beaulieu et al. 2013, IACR 2013/404) permutes 0..2^bits-1; what falls
outside of the size is enciphered again until it falls inside (Black and Rogaway 2002, cycle walking).
"""

import functools

import numpy as np

ROUNDS = 4
SMALL_BITS = 16  # up to here an epoch's whole table is made at once: a few milliseconds
WORD = 2**32 - 1


def permuted(size: int, seed: int, positions: np.ndarray) -> np.ndarray:
    """The examples [n] int64, 0..size-1, at these places [n] of one endless stream, epoch after epoch."""
    seed = int(np.random.SeedSequence((seed, 1)).generate_state(1)[0])  # as Grain seeds its first operation
    epochs, places = np.divmod(positions.astype(np.int64), size)
    found = np.empty_like(places)
    for epoch in np.unique(epochs).tolist():
        these = epochs == epoch
        found[these] = _of_epoch(size, (seed + epoch) & WORD, places[these])
    return found


def _of_epoch(size: int, seed: int, places: np.ndarray) -> np.ndarray:
    if size == 1:
        return places
    half = _half_bits(size)
    return _table(size, seed)[places] if 2 * half <= SMALL_BITS else _walked(size, half, seed, places)


def _half_bits(size: int) -> int:
    """Half the bits of the cipher's blocks, which hold size - 1 and are at least 16.

    Grain 0.2.18 takes one too small where size is 65537, 262145 and so on, and repeats an example.
    """
    bits = (size - 1).bit_length()
    return max(bits + bits % 2, SMALL_BITS) // 2


def _walked(size: int, half: int, seed: int, places: np.ndarray) -> np.ndarray:
    found = _cipher(places, half, seed)
    while (outside := np.flatnonzero(found >= size)).size:
        found[outside] = _cipher(found[outside], half, seed)
    return found


@functools.lru_cache(maxsize=4)  # batches that are prepared at the same time are of two epochs at most
def _table(size: int, seed: int) -> np.ndarray:
    """All of an epoch; each turn takes strides twice as long, so that the length of a walk matters little."""
    every = np.arange(2**SMALL_BITS)
    after = _cipher(every, SMALL_BITS // 2, seed)
    found, stride = after[:size], np.where(every < size, every, after)
    while (found >= size).any():
        found, stride = stride[found], stride[stride]
    return found


def _cipher(values: np.ndarray, half: int, seed: int) -> np.ndarray:
    left, right = values >> half, values & (1 << half) - 1
    first, second, third, fourth = _keys(seed, half)
    mix = _mixed(half)
    left = left ^ mix[right] ^ first
    right = right ^ mix[left] ^ second
    left ^= mix[right] ^ third
    right ^= mix[left] ^ fourth
    return left << half | right


@functools.cache
def _mixed(half: int) -> np.ndarray:
    """Simon's round function of every value of half a block."""
    values = np.arange(1 << half)

    def turned(by: int) -> np.ndarray:
        return (values << by | values >> half - by) & (1 << half) - 1

    return turned(1) & turned(8) ^ turned(2)


@functools.lru_cache(maxsize=16)
def _keys(seed: int, half: int) -> list[int]:
    """A key a round: what std::seed_seq generates from one seed (ISO C++, [rand.util.seedseq]), low bits."""
    state = [0x8B8B8B8B] * ROUNDS
    for turn in range(ROUNDS):
        near = state[turn] ^ state[(turn + 1) % ROUNDS] ^ state[turn - 1]
        step = 1664525 * (near ^ near >> 27) & WORD
        last = step + turn + (1, seed, 0, 0)[turn]
        state[(turn + 1) % ROUNDS] += step
        state[(turn + 2) % ROUNDS] += last
        state[turn] = last
        state = [word & WORD for word in state]
    for turn in range(ROUNDS):
        near = state[turn] + state[(turn + 1) % ROUNDS] + state[turn - 1] & WORD
        step = 1566083941 * (near ^ near >> 27) & WORD
        last = step - turn & WORD
        state[(turn + 1) % ROUNDS] ^= step
        state[(turn + 2) % ROUNDS] ^= last
        state[turn] = last
    return [word & (1 << half) - 1 for word in state]
