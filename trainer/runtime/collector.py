"""Python's search for reference cycles, which would take a fifth of the time of a start.

Importing JAX and tracing a network make millions of objects that live on. By default Python searches all of
them again and again while their number grows.
"""

import gc

OBJECTS = 50_000  # new ones between two searches; Python's own choice is 700
YOUNG, MIDDLE = 20, 20  # searches of a generation between two of the next older one


def pause() -> None:
    """Search for no cycles until ``resume``: a program's imports leave none that are worth it."""
    gc.disable()


def resume() -> None:
    """Search again, rarely, and leave out what exists by now."""
    gc.freeze()
    gc.set_threshold(OBJECTS, YOUNG, MIDDLE)
    gc.enable()
