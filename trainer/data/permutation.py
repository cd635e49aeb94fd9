"""The order of an epoch: a seeded permutation of 0..size-1, any part of which can be computed on its own.

It equals Grain's ``shuffle`` bit for bit, but computes many positions per call. Grain computes one per call,
in 10 to 150 µs under the interpreter's lock, which is as long as decoding a small JPEG takes. A Feistel
cipher with the round function of Simon (Beaulieu et al. 2013, IACR 2013/404) permutes 0..2^bits-1. Values
outside of 0..size-1 are enciphered again until they fall inside (cycle walking, Black and Rogaway 2002).
"""

import functools

import numpy as np

ROUNDS = 4
SMALL_BITS = 16  # up to this block size, a table of the whole epoch is computed in a few milliseconds
WORD_MASK = 2**32 - 1


def permuted(size: int, seed: int, positions: np.ndarray) -> np.ndarray:
    """The examples at positions of an endless stream that concatenates the permutations of all epochs.

    Args:
      size: examples per epoch.
      positions: [n] integers from 0.

    Returns:
      [n] int64, each in 0..size-1.
    """
    seed = int(np.random.SeedSequence((seed, 1)).generate_state(1)[0])  # as Grain seeds its first operation
    epochs, offsets = np.divmod(positions.astype(np.int64), size)
    examples = np.empty_like(offsets)
    for epoch in np.unique(epochs).tolist():
        same_epoch = epochs == epoch
        examples[same_epoch] = _permuted_epoch(size, (seed + epoch) & WORD_MASK, offsets[same_epoch])
    return examples


def _permuted_epoch(size: int, seed: int, offsets: np.ndarray) -> np.ndarray:
    if size == 1:
        return offsets
    half = _half_bits(size)
    return _table(size, seed)[offsets] if 2 * half <= SMALL_BITS else _walked(size, half, seed, offsets)


def _half_bits(size: int) -> int:
    """Half the bits of the cipher's block, which holds size - 1 and has at least 16 bits.

    Grain 0.2.18 takes a block too small for sizes 65537, 262145 and so on, and repeats an example.
    """
    bits = (size - 1).bit_length()
    return max(bits + bits % 2, SMALL_BITS) // 2


def _walked(size: int, half: int, seed: int, offsets: np.ndarray) -> np.ndarray:
    """Cycle walking: encipher until every value is below ``size``."""
    values = _cipher(offsets, half, seed)
    while (outside := np.flatnonzero(values >= size)).size:
        values[outside] = _cipher(values[outside], half, seed)
    return values


@functools.lru_cache(maxsize=4)  # the batches in preparation belong to two epochs at most
def _table(size: int, seed: int) -> np.ndarray:
    """The permutation of a whole epoch; strides double each time, so that long walks take few iterations."""
    block = np.arange(2**SMALL_BITS)
    enciphered = _cipher(block, SMALL_BITS // 2, seed)
    values, stride = enciphered[:size], np.where(block < size, block, enciphered)
    while (values >= size).any():
        values, stride = stride[values], stride[stride]
    return values


def _cipher(values: np.ndarray, half: int, seed: int) -> np.ndarray:
    """Four Feistel rounds over blocks of ``2 * half`` bits."""
    left, right = values >> half, values & (1 << half) - 1
    first, second, third, fourth = _keys(seed, half)
    mix = _round_function(half)
    left = left ^ mix[right] ^ first
    right = right ^ mix[left] ^ second
    left ^= mix[right] ^ third
    right ^= mix[left] ^ fourth
    return left << half | right


@functools.cache
def _round_function(half: int) -> np.ndarray:
    """Simon's round function, [2^half]: its result for every value of half a block."""
    values = np.arange(1 << half)

    def rotated(bits: int) -> np.ndarray:
        return (values << bits | values >> half - bits) & (1 << half) - 1

    return rotated(1) & rotated(8) ^ rotated(2)


@functools.lru_cache(maxsize=16)
def _keys(seed: int, half: int) -> list[int]:
    """One key per round: the low bits of what std::seed_seq generates (ISO C++, [rand.util.seedseq])."""
    state = [0x8B8B8B8B] * ROUNDS
    for index in range(ROUNDS):
        mixed = state[index] ^ state[(index + 1) % ROUNDS] ^ state[index - 1]
        step = 1664525 * (mixed ^ mixed >> 27) & WORD_MASK
        last = step + index + (1, seed, 0, 0)[index]
        state[(index + 1) % ROUNDS] += step
        state[(index + 2) % ROUNDS] += last
        state[index] = last
        state = [word & WORD_MASK for word in state]
    for index in range(ROUNDS):
        mixed = state[index] + state[(index + 1) % ROUNDS] + state[index - 1] & WORD_MASK
        step = 1566083941 * (mixed ^ mixed >> 27) & WORD_MASK
        last = step - index & WORD_MASK
        state[(index + 1) % ROUNDS] ^= step
        state[(index + 2) % ROUNDS] ^= last
        state[index] = last
    return [word & (1 << half) - 1 for word in state]
