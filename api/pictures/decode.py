"""Decode an uploaded image with Pillow: its first picture, its EXIF orientation and its colour profile.

This runs in the decoder process, whose limits of memory and CPU time bound what Pillow does with a hostile file.
"""

from __future__ import annotations

import re
import struct
from io import BytesIO
from typing import NamedTuple

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

Size = tuple[int, int]

MAX_PIXELS = 50_000_000
MAX_SIDE = 65_535  # pixels; the limit of JPEG and GIF. A PNG decoder buffers two lines of any length.
# Lower limits for formats whose decoders would take more than `MAX_MEMORY_BYTES` for 50 megapixels, by Pillow's names.
# Bytes per pixel: WebP 16 (two canvases and two copies), AVIF up to 16 (four planes of two bytes and two copies).
MAX_PIXELS_OF = {"WEBP": 20_000_000, "AVIF": 20_000_000, "HEIF": 25_000_000}
NAMES = {"WEBP": "WebP", "HEIF": "HEIC"}
# A progressive JPEG takes two bytes per pixel and component.
MAX_COEFFICIENTS = 150_000_000
MAX_PROFILE = 4 << 20
MAX_CHUNKS = 20_000  # of a PNG: each takes an iteration in Python, and 10 MiB can hold a million

EMPTY = "The file is empty; choose another one."
UNKNOWN = "Unsupported image format; send a JPEG, PNG, WebP, GIF, AVIF or HEIC file."
DAMAGED = "The image is corrupt or incomplete; export it again or choose another one."
UNREADABLE_JPEG = "This kind of JPEG can't be read; save it as a baseline JPEG."
TOO_LARGE = "Images may have at most {} megapixels; resize it and try again."
TOO_LARGE_AS = "{} images may have at most {} megapixels; resize it or send it as a JPEG."
TOO_LONG = "Images may be at most {} pixels wide or high; resize it and try again."
TOO_COMPLEX = "The image takes too much memory or time to decode; resize it or save it as a baseline JPEG."

PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"iCCP")
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF")
# How their files begin. The brands are those of ISO media files that hold pictures.
SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|.{4}ftyp(avi[fs]|hei[cfmsx]|hev[cmsx]|mi[afs]|msf1)",
    re.DOTALL,
)

# The start of a frame that libjpeg can't decode: lossless, hierarchical or both, coded by Huffman or arithmetically
# (ITU T.81, table B.1), of one to four components.
UNREADABLE_FRAME = re.compile(rb"\xff[\xc3\xc5-\xc7\xcb\xcd-\xcf]\0[\x0b\x0e\x11\x14]")


class InvalidImage(ValueError):
    """The upload is not an image that we accept. The message tells the user what is wrong and what to do."""


class DecodedImage(NamedTuple):
    """An uploaded image. `image` is decoded at 1/`scale` of its full `size`."""

    image: Image.Image
    size: Size
    orientation: int = 1
    profile: bytes | None = None
    scale: int = 1


def read_picture(data: bytes, box: Size) -> DecodedImage:
    """Open the first picture of a file, to be decoded at the size at which it fits into `box` or larger.

    Raises `InvalidImage`, or what Pillow raises for a damaged file.
    """
    if not data:
        raise InvalidImage(EMPTY)
    if not SIGNATURE.match(data):
        raise InvalidImage(UNKNOWN)
    is_png = data.startswith(b"\x89PNG")
    image = Image.open(BytesIO(keep_pixel_chunks(data) if is_png else data), formats=FORMATS)
    size = image.size
    check_size(image)
    if is_png:
        scale_transparency_key(image, depth=data[24])
    orientation = orientation_of(image.info.get("exif", b""))
    scale = set_jpeg_scale(image, box[::-1] if orientation > 4 else box)
    return DecodedImage(image, size, orientation, image.info.get("icc_profile"), scale)


def check_size(image: Image.Image) -> None:
    """Raise `InvalidImage` for more pixels than the limit of the image's format, or too long a side."""
    pixels = image.width * image.height
    kind = NAMES.get(image.format or "", image.format)
    limit = MAX_PIXELS_OF.get(image.format or "", MAX_PIXELS)
    if "progressive" in image.info:
        kind, limit = "Progressive JPEG", min(limit, MAX_COEFFICIENTS // len(image.getbands()))
    if pixels > MAX_PIXELS:
        raise InvalidImage(TOO_LARGE.format(MAX_PIXELS // 1_000_000))
    if pixels > limit:
        raise InvalidImage(TOO_LARGE_AS.format(kind, limit // 1_000_000))
    if max(image.size) > MAX_SIDE:
        raise InvalidImage(TOO_LONG.format(MAX_SIDE))


def orientation_of(block: bytes) -> int:
    """Return the orientation, 1 to 8, of an EXIF block; 1 if it has none or is corrupt."""
    exif = Image.Exif()
    try:
        exif.load(block)
        orientation = exif.get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises a dozen types for a corrupt block
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def set_jpeg_scale(image: Image.Image, box: Size) -> int:
    """Let the decoder of a JPEG downscale by 2, 4 or 8, at little cost, and return the factor; 1 for other formats.

    The last third is left to `downscale`, for quality.
    """
    if not isinstance(image, JpegImageFile):
        return 1
    width, height = image.size
    ratio = min(max(width / box[0], height / box[1]) / 1.5, width, height)
    scale = next(scale for scale in (8, 4, 2, 1) if ratio >= scale or scale == 1)
    image.draft(None, (width // scale, height // scale))
    return scale


def keep_pixel_chunks(data: bytes) -> bytes:
    """Return a PNG with the chunks that its pixels, colours and orientation need (PNG, third edition, section 5).

    Pillow decompresses the texts, and refuses the file if they are large. It does not miss a lost end.
    """
    chunks, position, kind = [data[:8]], 8, b""
    for _ in range(MAX_CHUNKS):
        if kind == b"IEND":
            break
        start = position
        length, kind = struct.unpack_from(">I4s", data, start)
        position += length + 12
        if kind in PIXEL_CHUNKS:
            chunks.append(data[start:position])
    if kind != b"IEND" or position > len(data):
        raise InvalidImage(DAMAGED)
    return b"".join(chunks)


def scale_transparency_key(image: Image.Image, depth: int) -> None:
    """Convert the colour that marks transparency to 8 bits, as Pillow converts the pixels of a PNG of this depth."""
    if image.mode not in ("L", "I;16", "RGB") or "transparency" not in image.info:
        return
    key = image.info["transparency"]
    if depth == 16:
        key = key >> 8 if isinstance(key, int) else tuple(level >> 8 for level in key)
    elif depth < 8:
        key = key * 255 // (2**depth - 1)
    image.info["transparency"] = key
