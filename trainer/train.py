"""The training loop, from top to bottom: mesh, data, model, state, restore, step, loop, evaluate, save.

``train`` tells the order of events. The functions below it come in the order in which it calls them.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from jax.stages import Compiled

from trainer.config import TrainConfig
from trainer.cost.estimate import loop_factor
from trainer.data import datasets, pipeline
from trainer.data.pipeline import TrainStream
from trainer.data.source import Source
from trainer.devices import compilation, mesh, state_sharding
from trainer.devices.batches import BatchPlacer, check_batch
from trainer.devices.compilation import Later, Leaves
from trainer.devices.cpu_cache import Executables
from trainer.devices.model_axis import check_axis
from trainer.errors import DataError, NonFiniteError, PreemptedError
from trainer.learning import step
from trainer.metrics import profiler
from trainer.metrics.display import Display
from trainer.metrics.hosts import HostTime, HostTimes
from trainer.metrics.lines import Evaluation
from trainer.metrics.log import Log, Mirror
from trainer.metrics.pending import Pending
from trainer.metrics.profiler import Profiler
from trainer.metrics.reporter import Reporter
from trainer.metrics.tensorboard import TensorBoard
from trainer.metrics.throughput import Meter
from trainer.metrics.wandb import Wandb
from trainer.models import network
from trainer.models.stacks import Stacks
from trainer.plan import Plan, Stage
from trainer.program import Program, make_program
from trainer.report import page
from trainer.rundir import dataset, directory, events, lease
from trainer.rundir.changes import Change
from trainer.rundir.checkpoints import Checkpoints
from trainer.rundir.files import writing_to
from trainer.runtime.agreement import agreed, coordination_client
from trainer.runtime.clock import Clock
from trainer.runtime.joining import Job
from trainer.runtime.messages import warn
from trainer.runtime.preemption import Preemption
from trainer.runtime.watchdog import Watchdog
from trainer.state import State

MANY_ARRAYS = 1_000  # parameters by name; the program that draws more compiles for minutes


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the loop works with; nothing of it is replaced while the run lasts."""

    config: TrainConfig
    root: epath.Path | None  # run directory; None on other hosts than the first
    placer: BatchPlacer
    train_source: Source
    test_source: Source
    plan: Plan
    shapes: State  # of ShapeDtypeStruct
    stacks: Stacks  # arrays that are one array in Position.leaves
    shardings: State  # of NamedSharding
    for_evaluation: Callable[[Any], Any]  # (parameters, statistics) -> the same as eval_program takes them
    train_programs: dict[Stage, Future[Compiled]]  # stage -> (leaves, batch) -> (leaves, metrics)
    eval_program: Later  # (leaves of parameters and statistics, batch) -> sums
    checkpoints: Checkpoints | None
    log: Log
    profile: Profiler
    pending: Pending
    speed: Meter
    reporter: Reporter
    clock: Clock
    preemption: Preemption
    watchdog: Watchdog


@dataclass(kw_only=True)
class Position:
    """Where a run is: all that changes from step to step."""

    step: int  # updates done
    leaves: Leaves  # the arrays of the state
    accuracy: float | None  # of the newest evaluation
    stream: TrainStream  # which examples come next


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
    # Mesh, data, model, state, restore: everything is compiled, and the run stands at its newest checkpoint.
    setup, now = set_up(config, job, display, watchdog, marks, closing)
    plan, log, reporter, pending = setup.plan, setup.log, setup.reporter, setup.pending
    start = now.step

    # What goes between host and devices is placed or fetched by name; anything else would make steps wait.
    with jax.transfer_guard("disallow"):
        watchdog.now("training")
        if start and plan.evaluates(start) and now.accuracy is None:
            now.accuracy = evaluate(setup, now)  # the run was preempted in the middle of this evaluation
        if not start and config.train.on_nan == "rollback":
            save(setup, now)

        first_step_done = False
        batches = batches_from(setup, now)
        while now.step < plan.steps:
            try:
                # Step. The host runs ahead of the devices and waits for no loss.
                local = next(batches)
                with setup.speed.waiting_for_program():
                    program = setup.train_programs[plan.stage(now.step)].result()
                setup.profile.begin(now.step + 1)
                with setup.speed.working():
                    now.leaves, metrics = program(now.leaves, setup.placer.place(local))
                now.step += 1
                setup.profile.end(now.step, metrics)
                pending.push(now.step, metrics)
                if not first_step_done:
                    jax.block_until_ready(metrics)
                    log.event(
                        events.FirstStep(step=now.step, cpu_seconds=processor_seconds(), steps=plan.steps)
                    )
                    setup.eval_program.begin()
                    first_step_done = True
                reporter(pending.ready())
                watchdog.beat()
                leave_if_preempted(setup, now)

                # Evaluate and save.
                if plan.evaluates(now.step) or plan.saves(now.step) or setup.clock.due(now.step):
                    reporter(pending.ready(lag=0))  # nothing is saved after a loss of NaN
                    accuracy = None
                    if plan.evaluates(now.step):
                        accuracy = now.accuracy = evaluate(setup, now)
                    save(setup, now, accuracy)
                    setup.speed.restart(now.step)
            except NonFiniteError as failure:
                roll_back(setup, now, failure)
                batches = batches_from(setup, now)

    # End: the last save is whole, and the first host writes the page of the run.
    begun = time.monotonic()
    if setup.checkpoints:
        watchdog.now(f"saving to run directory {config.run_dir}")
        setup.checkpoints.wait()
    waited = setup.speed.waited
    log.end(events.End(step=plan.steps, accuracy=now.accuracy, seconds=since(begun), waited_seconds=waited))
    if setup.root and start < plan.steps:
        page.write(setup.root, log.record(config))


def set_up(
    config: TrainConfig,
    job: Job,
    display: Display,
    watchdog: Watchdog,
    marks: dict[str, float],
    closing: contextlib.ExitStack,
) -> tuple[Setup, Position]:
    """Everything before the first step; arguments and errors are those of ``train``."""
    preemption = Preemption(distributed=job.hosts > 1)
    profiled_steps = profiler.steps(config.log.profile_steps)

    # Mesh: all devices of all slices.
    if config.mesh.model > 1:
        with agreed():
            division = network.find(config.model.arch).division
            check_axis(config.mesh.model, config.model.arch, division, jax.device_count() // job.slices)
    devices = mesh.make_mesh(job.slices, model=config.mesh.model)
    check_batch(devices.size, config.train.batch, config.train.accumulate, config.mesh.model)
    placer = BatchPlacer(devices, config.train.batch)
    device_kind = devices.devices.flat[0].device_kind

    # Data, and the directory that everything is written to.
    watchdog.now(f"opening data and run directory {config.run_dir}")
    train_source, test_source, root, mirrors, differences = open_data(config, job, closing)
    log = Log(root, display, mirrors)
    closing.callback(log.close)
    profile = Profiler(profiled_steps, root)
    closing.callback(profile.close)
    log.event(
        events.Start(
            at=marks["start"],
            restart=job.restart,
            hosts=job.hosts,
            devices=devices.size,
            device_kind=device_kind,
            **log.before(),
        )
    )
    log.event(events.Joined(at=marks["joined"]))
    log.event(events.Opened(cpu_seconds=processor_seconds()))

    # Model and the two steps, as pure functions; a thread compiles them while the state is read back.
    watchdog.now("tracing and compiling")
    program = make_program(config, train_source, test_source, devices.devices.flat[0].platform)
    stream = TrainStream(
        size=train_source.size,
        batch=config.train.batch,
        seed=config.train.seed,
        repeats=config.augment.repeats,
    )
    begun = time.monotonic()
    batch = train_batch_shapes(config, train_source, stream)
    executables = compilation.use_cache(
        config.train.compile_cache, config.run_dir, devices.devices.flat[0].platform
    )
    train_programs, eval_program = compile_ahead(
        config, program, devices, test_source, placer, batch, executables
    )

    # State: the newest whole checkpoint, or a fresh one.
    shard, division = config.train.shard, program.division
    shardings = state_sharding.of_state(devices, program.shapes, shard, division)
    checkpoints = None
    if config.checkpoint.enabled:
        watchdog.now(f"restoring from run directory {config.run_dir}")
        gather = state_sharding.gatherer(devices, shard)
        checkpoints = Checkpoints(f"{config.run_dir}/checkpoints", config.checkpoint, gather=gather)
    now = restore(checkpoints, program, shardings, stream, log)
    now = now or fresh(config, program, train_source, devices, shardings, stream, executables)
    record_attempt(config, root, train_source, differences, now.step)
    log.resume_at(now.step)

    # Step: the program of the first one is compiled.
    watchdog.now("compiling")
    train_programs[program.plan.stage(now.step)].result()
    programs = len(train_programs)
    log.event(events.Compiled(seconds=since(begun), cpu_seconds=processor_seconds(), programs=programs))
    speed = Meter(config.train.batch)
    host_times = HostTimes(coordination_client(), job.process_id, job.hosts, lambda: measured(job, speed))
    closing.callback(host_times.close)
    setup = Setup(
        config=config,
        root=root,
        placer=placer,
        train_source=train_source,
        test_source=test_source,
        plan=program.plan,
        shapes=program.shapes,
        stacks=program.stacks,
        shardings=shardings,
        for_evaluation=state_sharding.gatherer_for_evaluation(devices, program.shapes, shard, division),
        train_programs=train_programs,
        eval_program=eval_program,
        checkpoints=checkpoints,
        log=log,
        profile=profile,
        pending=Pending(),
        speed=speed,
        reporter=Reporter(
            log,
            program.plan,
            config,
            speed,
            train_programs,
            device_kind,
            lambda stage: loop_factor(program.train_steps[stage], program.stacked_shapes, batch),
            host_times,
            job.slices,
            devices.devices.size // job.hosts,
            functools.partial(directory.record_prediction, root, config) if root else None,
        ),
        clock=Clock(config.checkpoint.every_minutes, config.log.every_steps),
        preemption=preemption,
        watchdog=watchdog,
    )
    return setup, now


def measured(job: Job, speed: Meter) -> HostTime | None:
    """Where this host's time went since the last call."""
    if not (shares := speed.shares()):
        return None
    data, work = shares
    return HostTime(pod=job.pod or f"process {job.process_id}", data=round(data, 4), work=round(work, 4))


def open_data(
    config: TrainConfig, job: Job, closing: contextlib.ExitStack
) -> tuple[Source, Source, epath.Path | None, list[Mirror], list[Change]]:
    """Both splits, the run directory, the mirrors of its log, and what differs from its last attempt.

    The last three are those of the first host. One host may fail here: all end with its exit code.
    """
    root, mirrors, differences = None, [], []
    with agreed():
        network.find(config.model.arch)
        train_source, test_source = datasets.load_both(config.data)
        if jax.process_index() == 0:
            with writing_to(config.run_dir):
                if train_source.num_classes == 1:
                    warn(one_class(train_source))
                root = directory.make(config.run_dir)
                closing.callback(lease.acquire(root, job.owner).release)
                if warning := dataset.check(root, train_source.record()):
                    warn(warning)
                differences = directory.claim(root, config)
            if config.log.tensorboard:
                mirrors.append(TensorBoard(root))
    if root and config.log.wandb != "off":
        mirrors.append(Wandb(config.log, config.name, root, dataclasses.asdict(config)))
    for mirror in mirrors:
        closing.callback(mirror.close)
    return train_source, test_source, root, mirrors, differences


def compile_ahead(
    config: TrainConfig,
    program: Program,
    devices: Mesh,
    test_source: Source,
    placer: BatchPlacer,
    shapes: dict[str, jax.ShapeDtypeStruct],
    executables: Executables,
) -> tuple[dict[Stage, Future[Compiled]], Later]:
    """Begins to compile the training step of each stage; what the first step does not need comes later.

    Args:
      shapes: of the global training batch.
      executables: cache that is searched first.
    """
    none = placer.rows[:0]  # a batch without rows has the shapes, and waits for no data
    eval_sample = next(pipeline.eval_batches(test_source, config.train.batch, none, config.data))
    eval_shapes = compilation.batch_shapes(eval_sample, config.train.batch)

    stacked = program.stacked_shapes
    compiler = ThreadPoolExecutor(1, "compile")
    train_programs = {
        stage: compiler.submit(
            *(compilation.compile_train, train_step, stacked, shapes, devices, executables),
            config.train.shard,
            program.division,
        )
        for stage, train_step in program.train_steps.items()
    }

    def submit_evaluation() -> Future[Compiled]:
        compiler.submit(executables.keep)
        eval_program = compiler.submit(
            *(compilation.compile_eval, program.eval_step, stacked, eval_shapes, devices, executables),
            program.division,
        )
        compiler.submit(executables.keep)
        return eval_program

    return train_programs, Later(submit_evaluation)


def train_batch_shapes(
    config: TrainConfig, source: Source, stream: TrainStream
) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of the global training batch; a batch without rows has them and waits for no data."""
    sample = next(pipeline.train_batches(source, stream, np.arange(0), range(1), config.data))
    return compilation.batch_shapes(sample, config.train.batch)


def restore(
    checkpoints: Checkpoints | None, program: Program, shardings: State, stream: TrainStream, log: Log
) -> Position | None:
    """The position of the newest whole checkpoint; None where there is none."""
    begun = time.monotonic()
    restored = checkpoints and checkpoints.newest(program.shapes, shardings)
    if not restored:
        return None
    log.event(events.Restore(step=restored.step, seconds=since(begun), cpu_seconds=processor_seconds()))
    return Position(
        step=restored.step,
        leaves=leaves_of(restored.state, program.stacks),
        accuracy=restored.accuracy,
        stream=stream.resumed(restored.stream),
    )


def fresh(
    config: TrainConfig,
    program: Program,
    train_source: Source,
    devices: Mesh,
    shardings: State,
    stream: TrainStream,
    executables: Executables,
) -> Position:
    """The position of a run that begins: random parameters, or those of ``train.init``."""
    if len(program.shapes.params) > MANY_ARRAYS:
        state = compilation.init_by_operation(program.init_state, program.key, shardings)
    else:
        state = compilation.compile_init(program.init_state, program.key, devices, shardings, executables)(
            program.key
        )
    if config.train.init:
        # Imports Pillow and what predicts, which other runs never need.
        from trainer.weights.initial import start_from

        state = start_from(config.train.init, program, train_source.class_names, state, shardings)
    return Position(step=0, leaves=leaves_of(state, program.stacks), accuracy=None, stream=stream)


def one_class(source: Source) -> str:
    """A warning about training data from which nothing can be learnt."""
    return (
        f"data: '{source.name}' has one class, {source.class_names[0]!r}: whatever the network learns, its "
        "accuracy is 100 %; a dataset has a folder or a label for each class"
    )


def record_attempt(
    config: TrainConfig, root: epath.Path | None, train_source: Source, differences: list[Change], start: int
) -> None:
    """Writes the settings and ``dataset.json``, now that the run is known to go on in this directory."""
    with agreed():
        if root:
            directory.record(root, config, differences, start)
            dataset.write(root, train_source.record())


def batches_from(setup: Setup, now: Position) -> Iterator[pipeline.Batch]:
    """This host's batches of all steps that are left; the time spent waiting for them is counted."""
    steps = range(now.step, max(now.step, setup.plan.steps))
    rows, data = setup.placer.rows, setup.config.data
    return setup.speed.waiting_for(pipeline.train_batches(setup.train_source, now.stream, rows, steps, data))


def leave_if_preempted(setup: Setup, now: Position) -> None:
    """Saves and raises PreemptedError once the machine is being taken away; polled on every host alike."""
    if setup.preemption.reached():
        setup.reporter(setup.pending.ready(lag=0))
        save(setup, now, wait=True)
        setup.log.event(events.Preempted(step=now.step))
        saved = ", state saved" if setup.checkpoints else ""
        raise PreemptedError(f"preempted at step {now.step}{saved}")


def evaluate(setup: Setup, now: Position) -> float:
    """Runs over the test split, logs what comes of it and returns the accuracy that counts, 0 to 1."""
    begun = time.monotonic()
    row: dict[str, Any] = {"step": now.step, "epoch": round(setup.plan.epoch(now.step), 4)}
    for prefix, arrays in step.evaluated(stacked_state_of(setup, now), setup.config.optim).items():
        totals = evaluation_totals(setup, now, tuple(jax.tree.leaves(setup.for_evaluation(arrays))))
        row[f"{prefix}accuracy"] = totals["correct"] / totals["examples"]
        row[f"{prefix}loss"] = totals["loss"] / totals["examples"]
        row["examples"] = totals["examples"]
    setup.log.evaluation(Evaluation(**row))
    setup.log.event(events.Evaluate(step=now.step, seconds=since(begun)))
    return row["accuracy"]


def evaluation_totals(setup: Setup, now: Position, arrays: Leaves) -> dict[str, Any]:
    """Sums over all test images: loss, correct, examples.

    Args:
      arrays: leaves of the parameters and statistics that are evaluated.
    """
    sums = []
    batch, rows = setup.config.train.batch, setup.placer.rows
    for local in pipeline.eval_batches(setup.test_source, batch, rows, setup.config.data):
        sums.append(setup.eval_program.result()(arrays, setup.placer.place(local)))
        setup.log.evaluating(min(len(sums) * batch, setup.test_source.size), setup.test_source.size)
        setup.watchdog.beat()
        leave_if_preempted(setup, now)
    sums = jax.device_get(sums)
    totals = {name: sum(each[name].item() for each in sums) for name in sums[0]}
    if not totals["examples"]:
        raise DataError(f"data: none of the {setup.test_source.size:,} test images can be read")
    return totals


def save(setup: Setup, now: Position, accuracy: float | None = None, wait: bool = False) -> None:
    """Begins to save the state; with ``wait`` returns once it is whole.

    Args:
      accuracy: of the evaluation at this step, where there was one.
    """
    if not setup.checkpoints:
        return
    setup.watchdog.now(f"saving step {now.step} to run directory {setup.config.run_dir}")
    begun = time.monotonic()
    setup.log.upload()
    setup.checkpoints.save(state_of(setup, now), now.step, accuracy, wait, now.stream.to_json())
    waited = setup.speed.waited
    setup.log.event(events.Save(step=now.step, seconds=since(begun), waited_seconds=waited))
    setup.clock.restart()
    setup.watchdog.now("training")


def roll_back(setup: Setup, now: Position, failure: NonFiniteError) -> None:
    """Goes back to the newest checkpoint, and over the batches that led from there to the failure.

    Raises:
      NonFiniteError: the run may not roll back, or not once more.
    """
    config, checkpoints = setup.config, setup.checkpoints
    if checkpoints:
        checkpoints.wait()  # a save under way is of a state that was finite
    if config.train.on_nan == "stop" or not checkpoints:
        raise failure
    if now.stream.rollbacks >= config.train.max_rollbacks:
        raise failure.after(now.stream.rollbacks)
    setup.watchdog.now(f"rolling back to run directory {config.run_dir}")
    restored = checkpoints.newest(setup.shapes, setup.shardings)
    assert restored
    now.step, now.accuracy = restored.step, restored.accuracy
    now.leaves = leaves_of(restored.state, setup.stacks)
    now.stream = now.stream.rolled_back(failure.step, restored.step)
    setup.pending.forget()
    setup.log.resume_at(now.step)
    waited = setup.speed.waited
    setup.log.event(events.Rollback(step=failure.step, to=now.step, waited_seconds=waited))
    setup.speed.restart(now.step)
    setup.watchdog.now("training")


def state_of(setup: Setup, now: Position) -> State:
    """The arrays of a position as a State, an array per name."""
    return setup.stacks.separate(stacked_state_of(setup, now))


def stacked_state_of(setup: Setup, now: Position) -> State:
    """The arrays of a position as a State, as the compiled steps take it."""
    shapes = jax.eval_shape(setup.stacks.stacked, setup.shapes)
    return jax.tree.unflatten(jax.tree.structure(shapes), now.leaves)


def leaves_of(state: State, stacks: Stacks) -> Leaves:
    """The arrays of a State with an array per name, as the compiled steps take them."""
    return tuple(jax.tree.leaves(stacks.stacked(state)))


def since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)


def processor_seconds() -> float:
    """What this process has used so far: beside the clock it tells work from waiting."""
    return round(time.process_time(), 3)
