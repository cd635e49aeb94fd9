"""Cycles are searched for while a run lasts, and not while it imports and traces more than it drops."""

import subprocess
import sys

SCRIPT = """
import gc
from trainer.runtime import collector
collector.pause()
assert not gc.isenabled()
kept = [[] for _ in range(1000)]
collector.resume()
assert gc.isenabled() and gc.get_freeze_count() > 1000

class Node:
    pass

import weakref
node = Node()
node.itself, alive = node, weakref.ref(node)
del node
garbage = [[] for _ in range(2 * collector.OBJECTS)]
assert alive() is None
"""


def test_a_cycle_made_after_the_start_is_freed():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)
