"""The training loop, from top to bottom: mesh, data, model, state, restore, step, loop, evaluate, save."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import time
from typing import Any

import jax
import numpy as np

from trainer.config import TrainConfig
from trainer.data import datasets, pipeline
from trainer.devices import compilation, mesh, state_sharding
from trainer.devices.batches import BatchPlacer, check_batch
from trainer.errors import NonFiniteError, PreemptedError
from trainer.learning import step
from trainer.metrics import profiler
from trainer.metrics.display import Display
from trainer.metrics.lines import Evaluation
from trainer.metrics.log import Log
from trainer.metrics.pending import Pending
from trainer.metrics.reporter import Reporter
from trainer.metrics.tensorboard import TensorBoard
from trainer.metrics.throughput import Meter
from trainer.metrics.wandb import Wandb
from trainer.program import make_program
from trainer.report import page
from trainer.rundir import directory, events, lease
from trainer.rundir.checkpoints import Checkpoints
from trainer.runtime.agreement import agreed
from trainer.runtime.clock import Clock
from trainer.runtime.join import Job
from trainer.runtime.preemption import Preemption
from trainer.runtime.watchdog import Watchdog
from trainer.weights.initial import start_from


def train(
    config: TrainConfig,
    job: Job,
    display: Display,
    watchdog: Watchdog,
    marks: dict[str, float],
    closing: contextlib.ExitStack,
) -> None:
    """Trains to the end of the plan, or from where the run directory left off. Called on every host alike.

    Args:
      marks: unix seconds of what has happened already: start of the process, joined.
      closing: gets what must be closed however the run ends.

    Raises:
      TrainError: with the exit code of the pod; the same on every host where the cause is a shared one.
    """
    first = jax.process_index() == 0
    preemption = Preemption(distributed=job.hosts > 1)
    profiled = profiler.steps(config.log.profile_steps)

    # Mesh: all devices of all slices.
    devices = mesh.make_mesh(job.slices)
    check_batch(devices.size, config.train.batch, config.train.accumulate)
    placer = BatchPlacer(devices, config.train.batch)

    # Data, and the directory that everything is written to. One host may fail here: all end with its code.
    root, mirrors = None, []
    watchdog.now(f"opening data and run directory {config.run_dir}")
    with agreed():
        train_source, test_source = datasets.load_both(config.data)
        if first:
            with directory.writing_to(config.run_dir):
                root = directory.make(config.run_dir)
                closing.callback(lease.acquire(root, job.owner).release)
                directory.claim(root, config)
            if config.log.tensorboard:
                mirrors.append(TensorBoard(root))
    if root and config.log.wandb != "off":
        mirrors.append(Wandb(config.log, config.name, root, dataclasses.asdict(config)))
    for mirror in mirrors:
        closing.callback(mirror.close)
    log = Log(root, display, mirrors)
    closing.callback(log.close)
    profile = profiler.Profiler(profiled, root)
    closing.callback(profile.close)
    kind = devices.devices.flat[0].device_kind
    log.event(
        events.Start(
            at=marks["start"],
            restart=job.restart,
            hosts=job.hosts,
            devices=devices.size,
            device_kind=kind,
            **log.before(),
        )
    )
    log.event(events.Joined(at=marks["joined"]))
    log.event(events.Opened(cpu_seconds=processor_seconds()))

    platform = jax.devices()[0].platform
    executables = compilation.use_cache(config.train.compile_cache, config.run_dir, platform)

    # Model and the two steps, as pure functions.
    watchdog.now("tracing and compiling")
    program = make_program(config, train_source, test_source, platform)
    plan, shapes = program.plan, program.shapes

    # Compile in a thread while the state is made or read back.
    compiler = concurrent.futures.ThreadPoolExecutor(1, "compile")
    stream = pipeline.TrainStream(
        size=train_source.size,
        batch=config.train.batch,
        seed=config.train.seed,
        repeats=config.augment.repeats,
    )
    none = placer.rows[:0]  # a batch without rows has the shapes, and waits for no data
    sample = next(pipeline.train_batches(train_source, stream, none, range(1), config.data))
    sample_eval = next(pipeline.eval_batches(test_source, config.train.batch, none, config.data))
    batch_of = functools.partial(compilation.batch_shapes, batch=config.train.batch)
    begun = time.monotonic()
    compiling = {
        pixels: compiler.submit(
            compilation.compile_train, one, shapes, batch_of(sample), devices, executables, config.train.shard
        )
        for pixels, one in program.train_steps.items()
    }
    compiler.submit(executables.keep)
    compiling_eval = compiler.submit(
        compilation.compile_eval, program.eval_step, shapes, batch_of(sample_eval), devices, executables
    )
    compiler.submit(executables.keep)

    # State: the newest whole checkpoint, or fresh.
    where = state_sharding.of_state(devices, shapes, config.train.shard)
    whole = state_sharding.gatherer(devices, config.train.shard)
    checkpoints = None
    state, start, accuracy = None, 0, None
    if config.checkpoint.enabled:
        watchdog.now(f"restoring from run directory {config.run_dir}")
        checkpoints = Checkpoints(f"{config.run_dir}/checkpoints", config.checkpoint)
        asked = time.monotonic()
        if found := checkpoints.newest(shapes, where):
            state, start, accuracy = found.state, found.step, found.accuracy
            stream = stream.resumed(found.stream)
            log.event(events.Restore(step=start, seconds=since(asked), cpu_seconds=processor_seconds()))
    if state is None:
        state = compilation.compile_init(program.init_state, program.key, devices, where)(program.key)
        if config.train.init:
            state = start_from(config.train.init, program, state, where)
    log.resume_at(start)
    leaves = tuple(jax.tree.leaves(state))
    treedef = jax.tree.structure(state)
    del state
    watchdog.now("compiling")
    compiling[plan.resolution(start)].result()
    log.event(events.Compiled(seconds=since(begun), cpu_seconds=processor_seconds(), programs=len(compiling)))

    pending = Pending()
    speed = Meter(config.train.batch)
    reporter = Reporter(log, plan, config, speed, compiling, kind)
    clock = Clock(config.checkpoint.every_minutes, config.log.every_steps)

    def save(at: int, accuracy: float | None = None, wait: bool = False) -> None:
        if checkpoints:
            watchdog.now(f"saving step {at} to run directory {config.run_dir}")
            begun = time.monotonic()
            log.upload()
            checkpoints.save(whole(jax.tree.unflatten(treedef, leaves)), at, accuracy, wait, stream.to_json())
            log.event(events.Save(step=at, seconds=since(begun), waited_seconds=speed.waited))
            clock.restart()
            watchdog.now("training")

    def leave_if_preempted(at: int) -> None:
        if preemption.reached():
            reporter(pending.ready(lag=0))
            save(at, wait=True)
            log.event(events.Preempted(step=at))
            raise PreemptedError(f"preempted at step {at}" + (", state saved" if checkpoints else ""))

    def count(network_leaves: compilation.Leaves, at: int) -> dict[str, float]:
        batches = pipeline.eval_batches(test_source, config.train.batch, placer.rows, config.data)
        sums = []
        for local in batches:
            sums.append(compiling_eval.result()(network_leaves, placer.place(local)))
            watchdog.beat()
            leave_if_preempted(at)
        return {name: sum(np.asarray(s[name]).item() for s in sums) for name in sums[0]}

    def evaluate(at: int) -> float:
        begun = time.monotonic()
        row: dict[str, Any] = {"step": at, "epoch": round(plan.epoch(at), 4)}
        for kind, arrays in step.evaluated(jax.tree.unflatten(treedef, leaves), config.optim).items():
            totals = count(tuple(jax.tree.leaves(whole(arrays))), at)
            row[f"{kind}accuracy"] = totals["correct"] / totals["examples"]
            row[f"{kind}loss"] = totals["loss"] / totals["examples"]
            row["examples"] = totals["examples"]
        log.evaluation(Evaluation(**row))
        log.event(events.Evaluate(step=at, seconds=since(begun)))
        return row["accuracy"]

    def advance(at: int) -> None:
        """Trains from step ``at`` to the end; the host runs ahead of the devices and waits for no loss."""
        nonlocal leaves, accuracy
        steps = range(at, max(at, plan.steps))
        batches = pipeline.train_batches(train_source, stream, placer.rows, steps, config.data)
        for done, local in enumerate(speed.waiting_for(batches), at + 1):
            compiled = compiling[plan.resolution(done - 1)].result()
            profile.begin(done)
            leaves, metrics = compiled(leaves, placer.place(local))
            profile.end(done, metrics)
            pending.push(done, metrics)
            if at == start and done == start + 1:
                jax.block_until_ready(metrics)
                log.event(events.FirstStep(step=done, cpu_seconds=processor_seconds()))
            reporter(pending.ready())
            watchdog.beat()
            leave_if_preempted(done)
            if plan.evaluates(done) or plan.saves(done) or clock.due(done):
                reporter(pending.ready(lag=0))  # nothing is saved after a loss of NaN
                if plan.evaluates(done):
                    accuracy = evaluate(done)
                save(done, accuracy if plan.evaluates(done) else None)
                speed.restart(done)

    def roll_back(failure: NonFiniteError) -> int:
        """Goes back to the newest checkpoint, and over the batches that led from there to the failure."""
        nonlocal leaves, accuracy, stream
        if checkpoints:
            checkpoints.wait()  # a save under way is of a state that was finite
        if config.train.on_nan == "stop" or not checkpoints:
            raise failure
        if stream.rollbacks >= config.train.max_rollbacks:
            raise failure.after(stream.rollbacks)
        watchdog.now(f"rolling back to run directory {config.run_dir}")
        found = checkpoints.newest(shapes, where)
        assert found
        leaves, accuracy = tuple(jax.tree.leaves(found.state)), found.accuracy
        stream = stream.rolled_back(failure.step, found.step)
        pending.forget()
        log.resume_at(found.step)
        log.event(events.Rollback(step=failure.step, to=found.step, waited_seconds=speed.waited))
        speed.restart(found.step)
        watchdog.now("training")
        return found.step

    # The loop.
    watchdog.now("training")
    if start and plan.evaluates(start) and accuracy is None:
        accuracy = evaluate(start)  # it was preempted in the middle of this
    if not start and config.train.on_nan == "rollback":
        save(0)
    at = start
    while at < plan.steps:
        try:
            advance(at)
            at = plan.steps
        except NonFiniteError as failure:
            at = roll_back(failure)
    begun = time.monotonic()
    if checkpoints:
        watchdog.now(f"saving to run directory {config.run_dir}")
        checkpoints.wait()
    log.end(events.End(step=plan.steps, accuracy=accuracy, seconds=since(begun), waited_seconds=speed.waited))
    if root and start < plan.steps:
        page.write(root, log.record(config))


def since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)


def processor_seconds() -> float:
    """What this process has used so far: beside the clock it tells work from waiting."""
    return round(time.process_time(), 3)
