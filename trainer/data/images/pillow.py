"""Every other kind of image, and odd JPEGs and PNGs, by Pillow: the first frame as upright RGB pixels."""

import io
import warnings

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from trainer.data.encoded import BadImage
from trainer.data.images import kinds, limits, orientation
from trainer.data.images.kinds import Kind

# Imported for their entry in Pillow's registry: Pillow itself would import every plugin that it has.
PLUGINS = (
    *(AvifImagePlugin, BmpImagePlugin, GifImagePlugin, JpegImagePlugin),
    *(PngImagePlugin, PpmImagePlugin, TiffImagePlugin, WebPImagePlugin),
)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # threads decode images side by side
warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata, which nothing here reads

# Pillow's modes of 8 bits, or 1, per channel -> the modes to pass through on the way to RGB.
MODES = {
    **dict.fromkeys(("1", "L", "P", "RGB", "RGBA", "RGBX", "LA", "PA", "CMYK", "YCbCr"), ()),
    "La": ("LA",),
    "RGBa": ("RGBA",),
}
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
SEVERAL_FRAMES = "it holds several frames, of which the first is used"


def decode(data: bytes, kind: Kind, max_pixels: int) -> np.ndarray:
    """Return the pixels [H, W, 3] uint8 RGB of the first frame, upright; what is transparent shows its color.

    Of 16 bits per channel the upper 8 are used.

    Args:
      kind: of the file, one that is read.

    Raises:
      BadImage: the file is damaged, has no 8 or 16 bits per channel, or more than ``max_pixels`` pixels.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels  # of a frame that reaches beyond the image, which its plugin checks
    try:
        with Image.open(io.BytesIO(data), formats=(kind.format,)) as image:
            limits.within(image.height, image.width, max_pixels)
            image.load()
            turn = 1 if kind is kinds.JPEG else _orientation(image)
            return orientation.turn(_rgb(image, kind), turn)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage(f"it must hold at most {max_pixels / 1e6:g} megapixels") from None
    except UnidentifiedImageError:
        raise BadImage(f"it is damaged: no {kind.name} after its first bytes") from None
    # Only bytes in memory are read here, so that whatever is raised comes from them. Pillow has no type for
    # it: a dozen are raised by its plugins, from SyntaxError to struct.error.
    except Exception as error:
        text = " ".join(str(error).split())
        raise BadImage(f"it is damaged: {text or type(error).__name__} ({kind.name})") from None


def has_several_frames(data: bytes, kind: Kind) -> bool:
    """Whether an image that `decode` read holds more frames or pages than the first."""
    try:
        with Image.open(io.BytesIO(data), formats=(kind.format,)) as image:
            image.seek(1)
    except Exception:  # there is no second one, or it is damaged, which leaves the first as it is
        return False
    return True


def _rgb(image: Image.Image, kind: Kind) -> np.ndarray:
    if image.mode in SIXTEEN_BITS or (image.mode == "I" and kind in (kinds.PNG, kinds.PNM)):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, -1)
    if image.mode not in MODES:
        raise BadImage(f"{kind.name} image in mode {image.mode}: not read; convert it to 8-bit RGB")
    image.info.pop("transparency", None)  # the color below is wanted, not a mask
    for mode in (*MODES[image.mode], "RGB"):
        image = image.convert(mode)
    return np.array(image)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation; 1 where it is missing or cannot be read, which leaves the pixels as they are."""
    try:
        return int(image.getexif().get(orientation.TAG, 1))
    except Exception:
        return 1
