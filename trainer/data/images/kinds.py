"""The kinds of image files: recognised by their first bytes, and named in what a person reads.

`image_kind(data) -> Kind | None` tells a file by its content, never by its name. `suffix_kind(name)` tells
which kind a name promises, so that files that are passed over can be counted. `refusal(data)` is the reason
why a file is not read: "HEIC image: not read; convert it to JPEG".
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

HEAD_BYTES = 1024  # the first bytes that `image_kind` looks at


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of image file.

    Args:
      name: as messages show it: "JPEG".
      read: whether the trainer decodes it.
      suffixes: of file names, lower case, with their dot; several kinds may share one.
      format: Pillow's name of a kind that is read.
    """

    name: str
    read: bool
    suffixes: tuple[str, ...]
    format: str = ""


JPEG = Kind("JPEG", True, (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"), "JPEG")
PNG = Kind("PNG", True, (".png", ".apng"), "PNG")
WEBP = Kind("WebP", True, (".webp",), "WEBP")
GIF = Kind("GIF", True, (".gif",), "GIF")
BMP = Kind("BMP", True, (".bmp",), "BMP")
TIFF = Kind("TIFF", True, (".tif", ".tiff"), "TIFF")
AVIF = Kind("AVIF", True, (".avif",), "AVIF")
PNM = Kind("PNM", True, (".ppm", ".pgm", ".pbm", ".pnm"), "PPM")
PLAIN_PNM = Kind("plain PNM", False, ())  # numbers in decimal digits, which Pillow reads slowly
HEIC = Kind("HEIC", False, (".heic", ".heif", ".hif"))
JPEG_2000 = Kind("JPEG 2000", False, (".jp2", ".j2k", ".jpf", ".jpx", ".j2c"))
JPEG_XL = Kind("JPEG XL", False, (".jxl",))
JPEG_XR = Kind("JPEG XR", False, (".jxr", ".wdp"))
JPEG_LS = Kind("JPEG-LS", False, (".jls",))
RAW = Kind(
    "camera RAW",
    False,
    (".dng", ".cr2", ".cr3", ".crw", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".3fr"),
)
SVG = Kind("SVG", False, (".svg", ".svgz"))
PSD = Kind("Photoshop", False, (".psd", ".psb"))
ICO = Kind("icon", False, (".ico", ".cur", ".icns"))
EXR = Kind("OpenEXR", False, (".exr",))
HDR = Kind("Radiance HDR", False, (".hdr",))
DDS = Kind("DDS", False, (".dds",))
TGA = Kind("Targa", False, (".tga",))
PCX = Kind("PCX", False, (".pcx",))
DIB = Kind("DIB", False, (".dib",))  # a BMP without its first header
QOI = Kind("QOI", False, (".qoi",))
XCF = Kind("GIMP", False, (".xcf",))
DICOM = Kind("DICOM", False, (".dcm", ".dicom"))
PDF = Kind("PDF", False, ())
POSTSCRIPT = Kind("PostScript", False, (".eps",))
VIDEO = Kind("video", False, ())

KINDS = (
    *(JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF, PNM),
    *(
        HEIC,
        JPEG_2000,
        JPEG_XL,
        JPEG_XR,
        JPEG_LS,
        RAW,
        SVG,
        PSD,
        ICO,
        EXR,
        HDR,
        DDS,
        TGA,
        PCX,
        DIB,
        QOI,
        XCF,
        DICOM,
    ),
    *(PDF, POSTSCRIPT, VIDEO, PLAIN_PNM),
)

# Suffix of a file name -> the kind that it promises.
SUFFIXES = {suffix: kind for kind in KINDS for suffix in kind.suffixes}
READ_SUFFIXES = frozenset(suffix for suffix, kind in SUFFIXES.items() if kind.read)
READ_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or PNM"

# The first bytes of a file -> its kind; the more specific ones stand first.
MAGICS = (
    (b"\xff\xd8\xff\xf7", JPEG_LS),
    (b"\xff\xd8", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"BM", BMP),
    (b"II*\0\x10\0\0\0CR", RAW),  # Canon CR2
    (b"II\xbc\x01", JPEG_XR),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),  # BigTIFF
    (b"MM\0+", TIFF),
    (b"IIRO", RAW),  # Olympus
    (b"IIRS", RAW),
    (b"IIU\0", RAW),  # Panasonic
    (b"FUJIFILMCCD-RAW", RAW),
    (b"II\x1a\0\0\0HEAPCCDR", RAW),  # Canon CRW
    (b"\0\0\0\x0cjP  \r\n\x87\n", JPEG_2000),
    (b"\xff\x4f\xff\x51", JPEG_2000),
    (b"\xff\x0a", JPEG_XL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", JPEG_XL),
    (b"8BPS", PSD),
    (b"\0\0\1\0", ICO),
    *((bytes((0, 0, type_, 0, 0, 0, 0, 0)), TGA) for type_ in (2, 3, 10, 11)),
    (b"\0\0\2\0", ICO),  # a cursor; its count, bytes 5 and 6, is not 0
    (b"icns", ICO),
    (b"\x76\x2f\x31\x01", EXR),
    (b"#?RADIANCE", HDR),
    (b"#?RGBE", HDR),
    (b"DDS ", DDS),
    (b"qoif", QOI),
    (b"gimp xcf", XCF),
    *((bytes((10, version, 1)), PCX) for version in (0, 2, 3, 4, 5)),
    (b"\x28\0\0\0", DIB),
    (b"%PDF", PDF),
    (b"%!PS", POSTSCRIPT),
    (b"\x1a\x45\xdf\xa3", VIDEO),  # Matroska, WebM
)
# Brands of a file in the ISO base media format (ISO/IEC 14496-12, "ftyp") -> its kind; others are video.
BRANDS = {
    b"avif": AVIF,
    b"avis": AVIF,
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), HEIC),
    b"crx ": RAW,
}
TGA_END = b"TRUEVISION-XFILE.\0"  # of a whole file, version 2; its beginning has no magic
CONTAINERS = (b"mif1", b"msf1")  # brands of HEIF; an AVIF file may have them too
_NUMBER = rb"(?:\s|#[^\n]*\n)+\d+"
PNM_HEAD = re.compile(rb"P(?:4(?:%b){2}|[56](?:%b){3}|[1-3](?=[\s#])\s*[\d#])" % (_NUMBER, _NUMBER))
XML_HEADS = (b"<?xml", b"<!--", b"<!DOCTYPE svg")


def image_kind(data: bytes) -> Kind | None:
    """Return the kind of an image file by its content; None for a file that is no image known here.

    Args:
      data: the file, or its first HEAD_BYTES.
    """
    for magic, kind in MAGICS:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"AVI ": VIDEO}.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _container_kind(data)
    if data[128:132] == b"DICM":
        return DICOM
    if data.endswith(TGA_END):
        return TGA
    if PNM_HEAD.match(data[:HEAD_BYTES]):
        return PNM if data[1:2] in b"456" else PLAIN_PNM
    return SVG if _is_svg(data[:HEAD_BYTES]) else None


def _container_kind(data: bytes) -> Kind:
    """The kind of a file in the ISO base media format, by the brands of its first box."""
    end = min(int.from_bytes(data[:4]), HEAD_BYTES)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    for brand in brands:
        if brand in BRANDS:
            return BRANDS[brand]
    return HEIC if any(brand in CONTAINERS for brand in brands) else VIDEO


def _is_svg(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"<svg") or (text.startswith(XML_HEADS) and b"<svg" in text)


def suffix_kind(name: str) -> Kind | None:
    """Return the kind that the suffix of a file name promises, in any case; None where it promises none."""
    return SUFFIXES.get(PurePosixPath(name).suffix.lower())


def refusal(data: bytes) -> str:
    """Return the reason why a file is not read, for a message that names the file before it.

    Args:
      data: the file, or its first HEAD_BYTES, of a kind that is not read.
    """
    if kind := image_kind(data):
        noun = "file" if kind in (PDF, POSTSCRIPT, VIDEO) else "image"
        return f"{kind.name} {noun}: not read; convert it to JPEG"
    content = f"{len(data)} bytes that begin with {data[:4].hex(' ')}" if data else "an empty file"
    return f"it must be an image ({READ_NAMES}), got {content}"
