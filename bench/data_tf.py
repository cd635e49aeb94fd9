"""tf.data with decode_and_crop_jpeg: `data_tf.py tf|antialias PATH THREADS SECONDS`; uint8, as ours."""

import sys
from pathlib import Path

import tensorflow as tf
from data_clock import measure

BOX = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])


def load(path, antialias: bool):
    data = tf.io.read_file(path)
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        tf.image.extract_jpeg_shape(data), BOX, aspect_ratio_range=(3 / 4, 4 / 3), area_range=(0.08, 1.0)
    )
    window = tf.stack([begin[0], begin[1], size[0], size[1]])
    part = tf.image.decode_and_crop_jpeg(data, window, channels=3)
    return tf.cast(tf.image.resize(part, (224, 224), antialias=antialias), tf.uint8)


def main(mode: str, path: str, threads: int, seconds: float) -> None:
    antialias = mode == "antialias"  # off by default, which is faster and coarser
    names = sorted(map(str, Path(path, "train").glob("*/*")))
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.deterministic = False
    data = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names)).repeat()
    data = (
        data.map(lambda name: load(name, antialias), num_parallel_calls=threads)
        .batch(64)
        .prefetch(4)
        .with_options(options)
    )
    measure(data.as_numpy_iterator(), 8, seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
