"""Images that are files of their own: the examples of every layout that lists or sorts image files."""

from collections.abc import Sequence

import numpy as np

from trainer.data.encoded import MAX_IMAGE_BYTES, BadImage, Encoded
from trainer.data.listing import Listing
from trainer.data.names import printable
from trainer.data.passed_over import PassedOver
from trainer.data.storage import CONNECTIONS, Place


def open_files(
    layout: str,
    place: Place,
    listing: Listing,
    names: Sequence[str],
    labels: np.ndarray,
    classes: Sequence[str],
    passed_over: PassedOver,
) -> Encoded:
    """The images of one split.

    Args:
      layout: name of the format.
      listing: the files below the dataset. A name that it lacks is a damaged image.
      names: of the images, in the order of the examples.
      labels: [N] int32, of the images.
    """

    def read(index: int) -> tuple[bytes, int]:
        name = names[index]
        if instead := listing.unusable.get(name):
            raise BadImage(f"it must be a file, got {instead}")
        size = listing.sizes.get(name)
        if size is None:
            raise BadImage("it must be a file, got nothing there")
        if size > MAX_IMAGE_BYTES:
            raise BadImage(f"it must have at most 1 GiB, got {size / 2**30:.1f}")
        return place.read(name), int(labels[index])

    return Encoded(
        format=layout,
        class_names=classes,
        size=len(names),
        read=read,
        name=lambda index: printable(place.address(names[index])),
        labels=labels,
        concurrent_reads=CONNECTIONS if place.remote else 1,
        passed_over=passed_over,
    )
