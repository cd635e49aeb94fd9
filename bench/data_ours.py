"""Our loader and the bare loop of its libraries: `data_ours.py MODE PATH THREADS SECONDS`.

MODE is one of:

ours: the training pipeline.
memory: the training pipeline for a number of batches instead of seconds, with its resident memory.
bare: threads that decode, crop and resize with the libraries alone, without labels, order or batches.
processes: processes that fill batches of their own and hand none over.
"""

import itertools
import multiprocessing
import os
import sys
import threading
import time

import cv2
import numpy as np
import simplejpeg
from data_clock import measure, resident_mib

from trainer.config import DataConfig
from trainer.data import pipeline
from trainer.data.encoded import Encoded
from trainer.data.formats import detect
from trainer.data.images import crop, decoded

BATCH, SIDE = 64, 224


def ours(data: Encoded, config: DataConfig):
    """Yield the training pipeline's images: [64, 224, 224, 3] uint8."""
    stream = pipeline.TrainStream(size=data.size, batch=BATCH, seed=0)
    source = decoded.as_source(data, config)
    for batch in pipeline.train_batches(source, stream, np.arange(BATCH), range(10**9), config):
        yield batch["image"]


def bare_image(data: Encoded, index: int, uniform: list[float], out: np.ndarray) -> None:
    image, _ = data.read(index)
    pixels = simplejpeg.decode_jpeg(image) if isinstance(image, bytes) else image
    top, left, height, width = crop.random_box(*pixels.shape[:2], uniform, 0.08)
    part = pixels[top : top + height, left : left + width]
    interpolation = cv2.INTER_AREA if max(height, width) > SIDE else cv2.INTER_LINEAR
    cv2.resize(part, (SIDE, SIDE), dst=out, interpolation=interpolation)


def bare(data: Encoded, threads: int):
    """Run threads that go through the images independently; yield images done since the last yield."""
    counts = [0] * threads
    uniforms = crop.draws(0, np.zeros(data.size, int), np.arange(data.size)).tolist()

    def loop(number: int) -> None:
        out = np.empty((SIDE, SIDE, 3), np.uint8)
        for index in itertools.cycle(range(number * data.size // threads, data.size)):
            bare_image(data, index, uniforms[index], out)
            counts[number] += 1

    for number in range(threads):
        threading.Thread(target=loop, args=(number,), daemon=True).start()
    before = 0
    while True:
        time.sleep(0.05)
        done = sum(counts)
        yield done - before
        before = done


def fill(data: Encoded, config: DataConfig, count) -> None:
    """Fill batches for ever and add their images to a shared count."""
    source = decoded.as_source(data, config)
    for epoch in itertools.count():
        for start in range(0, data.size - BATCH, BATCH):
            indices = np.arange(start, start + BATCH)
            source.gather(indices, crop.draws(0, np.full(BATCH, epoch), indices))
            with count.get_lock():
                count.value += BATCH


def processes(data: Encoded, config: DataConfig, number: int):
    """Run processes that fill batches; yield images done since the last yield."""
    forks = multiprocessing.get_context("fork")
    count, before = forks.Value("q", 0), 0
    for _ in range(number):
        forks.Process(target=fill, args=(data, config, count), daemon=True).start()
    while True:
        time.sleep(0.05)
        done = count.value
        yield done - before
        before = done


def memory(batches, number: int) -> None:
    """Take this many batches; print images, resident MiB and seconds twelve times."""
    started = time.perf_counter()
    for count, _ in enumerate(itertools.islice(batches, number), 1):
        if count % max(1, number // 12) == 0:
            print(f"| {count:,} | {resident_mib():,.0f} | {time.perf_counter() - started:,.0f} |", flush=True)


def main(mode: str, path: str, threads: int, amount: float) -> None:
    config = DataConfig(name=path, threads=threads, image_size=SIDE)
    data = detect.encoded(detect.find(path), "train", config)
    if mode == "memory":
        memory(ours(data, config), int(amount))
    elif mode == "ours":
        measure(ours(data, config), 2 * max(config.prefetch, threads), amount)
    else:
        counts = bare(data, threads) if mode == "bare" else processes(data, config, threads)
        measure(counts, 20, amount)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    sys.stdout.flush()
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(0)  # the threads never end
