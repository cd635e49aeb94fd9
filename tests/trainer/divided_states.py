"""Saves and restores a state that is divided over several hosts; a script that tests run on each of them.

divided_states.py save FOLDER      saves step after step, under failures, until it kills itself
divided_states.py restore FOLDER   restores the newest checkpoint and prints its step
divided_states.py once FOLDER      saves step 1 and restores it

With BLIND=N host N finds no arrays in a checkpoint when it restores.
"""

import os
import resource
import signal
import sys
import threading
import time

import jax
import ml_dtypes
import numpy as np
from etils import epath
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.config import CheckpointConfig
from trainer.errors import TrainError
from trainer.rundir import checkpoints as saving
from trainer.rundir import joint_restore, joint_save
from trainer.rundir.checkpoints import Checkpoints
from trainer.runtime import join
from trainer.state import State

# Divided over both axes, over one, within a host, between hosts, and whole on every device.
DIVISIONS = {
    "both": ((32, 64), np.float32, ("slice", "data")),
    "columns": ((6, 256), np.float32, (None, "data")),
    "rows": ((256, 5), ml_dtypes.bfloat16, ("slice",)),
    "masks": ((64, 16), np.bool_, (("slice", "data"),)),
    "whole": ((32, 96), np.float32, ()),
    "vector": ((5,), np.int8, ()),
    "count": ((), np.int32, ()),
}


def values(step):
    """The arrays of a state by name: any bits, so that NaN, -0 and denormal numbers are among them."""
    rng = np.random.default_rng(step)
    arrays = {}
    for name, (shape, dtype, _) in DIVISIONS.items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        bits = rng.integers(0, 2 if dtype is np.bool_ else 256, size, np.uint8)
        if dtype is ml_dtypes.bfloat16:  # to gather them on CPUs makes all NaN of this type the same
            words = bits.view(np.uint16)
            words[words & 0x7F80 == 0x7F80] = 0x8000
        arrays[name] = bits.view(dtype).reshape(shape)
    return arrays


def shardings(divided=True):
    devices = np.array(jax.devices())
    mesh = Mesh(devices.reshape(2 if devices.size > 1 else 1, -1), ("slice", "data"))
    return {
        n: NamedSharding(mesh, PartitionSpec(*axes if divided else ())) for n, (*_, axes) in DIVISIONS.items()
    }


def state(step):
    where = shardings()
    arrays = {
        name: jax.make_array_from_callback(array.shape, where[name], array.__getitem__)
        for name, array in values(step).items()
    }
    return as_state(arrays)


def as_state(arrays):
    params = {name: arrays[name] for name in ("both", "columns", "whole")}
    opt = {name: arrays[name] for name in ("rows", "masks", "vector")}
    return State(step=arrays["count"], params=params, stats={}, opt=opt)


def check(restored, step):
    """Compare what each device of this host holds with the saved bits."""
    expected = as_state(values(step))
    for array, whole in zip(jax.tree.leaves(restored.state), jax.tree.leaves(expected), strict=True):
        for shard in array.addressable_shards:
            assert np.asarray(shard.data).tobytes() == whole[shard.index].tobytes()


def shapes():
    return as_state(
        {name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype, _) in DIVISIONS.items()}
    )


def opened(folder):
    return Checkpoints(
        folder,
        CheckpointConfig(keep=2, keep_best=1),
        gather=jax.jit(lambda tree: tree, out_shardings=as_state(shardings(False))),
    )


def restore(folder):
    counted, read_bytes = joint_restore._read, 0

    def read(state, arrays, numbers, context):
        nonlocal read_bytes
        state = state / "absent" if str(jax.process_index()) == os.environ.get("BLIND") else state
        pieces = counted(state, arrays, numbers, context)
        read_bytes += sum(piece.nbytes for of in pieces.values() for piece in of.values())
        return pieces

    joint_restore._read = read
    checkpoints = opened(folder)
    restored = checkpoints.newest(shapes(), as_state(shardings()))
    check(restored, restored.step)
    print("restored", restored.step, restored.accuracy, restored.stream, flush=True)
    print("read", read_bytes, flush=True)
    checkpoints.close()


def once(folder):
    checkpoints = opened(folder)
    checkpoints.save(state(1), 1, 0.25, True, {"turns": 3})
    check(checkpoints.newest(shapes(), as_state(shardings())), 1)
    checkpoints.close()


def save(folder):
    second = jax.process_index() == 1
    saving.PAUSE_SECONDS = (0.1,) * 30
    checkpoints = opened(folder)
    for step, accuracy in ((1, 0.9), (2, None), (3, 0.5)):
        checkpoints.save(state(step), step, accuracy, stream={"step": step})
    checkpoints.save(state(3), 3, 0.5)  # is saved already
    checkpoints.wait()

    # The second host's disk is full for a while.
    if second:
        full_disk(True)
        threading.Timer(1.0, full_disk, [False]).start()
    checkpoints.save(state(4), 4, None, True)
    check(checkpoints.newest(shapes(), as_state(shardings())), 4)

    # It stays full.
    saving.PAUSE_SECONDS = (0.1,)
    if second:
        full_disk(True)
    try:
        checkpoints.save(state(5), 5, None, True)
    except TrainError as error:
        print("refused", error.exit_code, str(error).splitlines()[0], flush=True)
    full_disk(False)

    # A host dies once it has written its first part.
    if jax.process_index() == int(os.environ["DIES"]):
        write = joint_save._write

        async def last_write(*arguments):
            await write(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        joint_save._write = last_write
    print("dying", flush=True)
    checkpoints.save(state(6), 6, None, True)
    time.sleep(100)


def full_disk(full):
    """Let no file grow beyond 100 bytes, or any file."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 if full else hard, hard))


if __name__ == "__main__":
    join()
    {"save": save, "restore": restore, "once": once}[sys.argv[1]](
        epath.Path(sys.argv[2].format(process=jax.process_index()))
    )
