"""Decode an uploaded image: extract the first picture of the file, check its size, and pass nothing else to Pillow.

Pillow parses everything in a file (EXIF, texts, further pictures), without limits, and warns about oddities. So the
segments, chunks and boxes of each format are filtered and counted here.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from .avif import max_frame_pixels

Size = tuple[int, int]

MAX_PIXELS = 50_000_000
MAX_SIDE = 65_535  # pixels; the limit of JPEG and GIF. A PNG decoder buffers two lines of any length.

# Lower limits for formats where 50 megapixels would take more than 350 MB. Bytes per pixel: WebP 16 (two canvases and
# two copies), AVIF up to 16 (four planes of two bytes and two copies), progressive JPEG two per component.
MAX_WEBP_PIXELS = 20_000_000
MAX_AVIF_PIXELS = 20_000_000
MAX_COEFFICIENTS = 150_000_000

MAX_SCANS = 64  # Encoders write about ten. The decoder passes over the entire picture for each.
MAX_PARTS = 20_000  # Segments, chunks or boxes, each an iteration in Python: 10 MiB could hold millions.
MAX_GIF_HEAD = 1 << 20
MAX_PROFILE = 4 << 20

EMPTY = "The file is empty; choose another one."
UNKNOWN = "Unsupported image format; send a JPEG, PNG, WebP, GIF or AVIF file."
DAMAGED = "The image is corrupt or incomplete; export it again or choose another one."
TOO_LARGE = "Images may have at most {} megapixels; resize it and try again."
TOO_LARGE_AS = "{} images may have at most {} megapixels; resize it or send it as a JPEG."
TOO_LONG = "Images may be at most {} pixels wide or high; resize it and try again."
TOO_COMPLEX = "This JPEG takes too much memory or time to decode; resize it or save it as baseline, not progressive."

ORIENTATION_TAG = 0x0112


class InvalidImage(ValueError):
    """The upload is not an image that we accept. The message tells the user what is wrong and what to do."""


class DecodedImage(NamedTuple):
    """An uploaded image. `image` may have been decoded at 1/`scale` of its full `size`."""

    image: Image.Image
    size: Size
    orientation: int = 1
    profile: bytes | None = None
    scale: int = 1


def read_picture(data: bytes, box: Size) -> DecodedImage:
    """Decode the first picture of a file, at the size at which it fits into `box` or larger. Raises `InvalidImage`."""
    if not data:
        raise InvalidImage(EMPTY)
    if data.startswith(b"\xff\xd8\xff"):
        return read_jpeg(data, box)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return read_png(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return read_gif(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return read_webp(data)
    if data[4:8] == b"ftyp" and (b"avif" in data[8:256] or b"avis" in data[8:256]):
        return read_avif(data)
    raise InvalidImage(UNKNOWN)


def check_size(size: Size, kind: str = "", limit: int = MAX_PIXELS) -> None:
    """Raise `InvalidImage` for more pixels than the `limit` of this format, or a side of more than `MAX_SIDE`."""
    pixels = size[0] * size[1]
    if pixels > MAX_PIXELS:
        raise InvalidImage(TOO_LARGE.format(MAX_PIXELS // 1_000_000))
    if pixels > limit:
        raise InvalidImage(TOO_LARGE_AS.format(kind, limit // 1_000_000))
    if max(size) > MAX_SIDE:
        raise InvalidImage(TOO_LONG.format(MAX_SIDE))


def orientation_of(exif: bytes) -> int:
    """Return the orientation, 1 to 8, in the first directory of an EXIF block (TIFF 6.0, section 2); 1 if unknown."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", exif, entry)
            if tag == ORIENTATION_TAG:
                (value,) = struct.unpack_from(order + {3: "H", 4: "I"}[kind], exif, entry + 8)
                return value if 1 <= value <= 8 else 1
    except (struct.error, KeyError):
        pass
    return 1


# A marker that ends coded data: not a stuffed zero, a restart or a fill byte (ITU T.81, B.1.1).
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
FRAMES = b"\xc0\xc1\xc2"  # baseline, extended, progressive: the kinds that browsers support
TABLES = b"\xc4\xdb\xdd"
JFIF, EXIF, ICC, ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
SCAN, END = 0xDA, 0xD9


def segments_of(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the marker, content and following coded data of each segment of the first picture in a JPEG file."""
    marker = MARKER.search(data, 2)
    for _ in range(MAX_PARTS):
        if not marker:
            break
        start, kind = marker.end(), data[marker.end() - 1]
        if kind == END:
            return
        end = start + int.from_bytes(data[start : start + 2])
        marker = MARKER.search(data, end)
        yield kind, data[start:end], data[end : marker.start()] if marker else b""
    raise InvalidImage(DAMAGED)


def read_jpeg(data: bytes, box: Size) -> DecodedImage:
    """Decode the first picture of a JPEG, from the segments that its pixels and colours need (ITU T.81, annex B)."""
    if data.count(b"\xff\xff") > len(data) // 4:
        raise InvalidImage(DAMAGED)  # half of it are fill bytes, each of which would take an iteration
    segments = list(segments_of(data))
    ((frame_kind, frame),) = ((kind, content) for kind, content, _ in segments if kind in FRAMES)
    scans = [content for kind, content, _ in segments if kind == SCAN]
    height, width, components = struct.unpack_from(">HHB", frame, 3)
    check_size((width, height))
    progressive = frame_kind == FRAMES[2]
    buffered = progressive or scans[0][2] < components
    if len(scans) > MAX_SCANS or (buffered and width * height * components > MAX_COEFFICIENTS):
        raise InvalidImage(TOO_COMPLEX)

    exif = (content[2:] for kind, content, _ in segments if kind == EXIF and content[2:6] == b"Exif")
    orientation = orientation_of(next(exif, b""))
    if orientation > 4:
        box = box[::-1]
    # The decoder downscales by these factors at little cost. The last third is left to `downscale`, for quality.
    ratio = min(max(width / box[0], height / box[1]) / 1.5, width, height)
    scale = next(scale for scale in (8, 4, 2, 1) if ratio >= scale or scale == 1)

    file = BytesIO()
    file.write(b"\xff\xd8")
    for kind, content, coded in segments:
        is_profile = kind == ICC and content[2:13] == b"ICC_PROFILE"
        if kind in FRAMES + TABLES or kind in (SCAN, JFIF, ADOBE) or is_profile:
            file.write(bytes((0xFF, kind)) + content)
        # A scale of 1/8 needs only the mean of each 8x8 block. The other scans are emptied, not removed: the decoder
        # blurs blocks whose scans are missing.
        if kind == SCAN and (scale < 8 or not progressive or content[-3] == 0):
            file.write(coded)
    file.write(bytes((0xFF, END)))
    file.seek(0)
    image = open_image("JPEG", file)
    image.draft(None, (width // scale, height // scale))
    image.load()
    return DecodedImage(image, (width, height), orientation, image.info.get("icc_profile"), scale)


def read_png(data: bytes) -> DecodedImage:
    """Decode a PNG, from the chunks that its pixels and colours need (PNG, third edition, section 5)."""
    chunks, exif, profile, position, kind = [data[:8]], b"", None, 8, b""
    for _ in range(MAX_PARTS):
        start = position
        length, kind = struct.unpack_from(">I4s", data, start)
        position += length + 12
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            chunks.append(data[start:position])
        elif kind == b"eXIf":
            exif = data[start + 8 : position]
        elif kind == b"iCCP" and profile is None:
            profile = decompress_icc(data[start + 8 : position - 4].partition(b"\0")[2][1:])
        if kind == b"IEND":
            break
    if kind != b"IEND" or position > len(data):
        raise InvalidImage(DAMAGED)
    image = open_image("PNG", BytesIO(b"".join(chunks)))
    check_size(image.size)
    if image.mode in ("L", "I;16", "RGB") and "transparency" in image.info:
        # Pillow converts the pixels to 8 bits, but not the colour that marks transparency.
        key, depth = image.info["transparency"], data[24]
        if depth == 16:
            key = key >> 8 if isinstance(key, int) else tuple(level >> 8 for level in key)
        elif depth < 8:
            key = key * 255 // (2**depth - 1)
        image.info["transparency"] = key
    return DecodedImage(image, image.size, orientation_of(exif), profile)


def decompress_icc(packed: bytes) -> bytes:
    """Decompress a colour profile, up to `MAX_PROFILE` bytes. Return nothing if it is corrupt."""
    try:
        return zlib.decompressobj().decompress(packed, MAX_PROFILE)
    except zlib.error:
        return b""


def read_gif(data: bytes) -> DecodedImage:
    """Decode the first frame of a GIF. Of the extensions before it, only that for transparency is kept."""
    screen_width, screen_height, flags = struct.unpack_from("<HHB", data, 6)
    head = data[:MAX_GIF_HEAD]
    start = position = 13 + (6 << (flags & 7) if flags & 0x80 else 0)
    control = b""
    while head[position] == 0x21:
        if head[position + 1 : position + 3] == b"\xf9\x04":
            control = head[position : position + 7] + b"\0"
        position += 2
        while head[position]:
            position += head[position] + 1
        position += 1
    left, top, width, height = struct.unpack_from("<4H", data, position + 1)
    check_size((max(screen_width, left + width), max(screen_height, top + height)))
    image = open_image("GIF", BytesIO(data[:start] + control + data[position:]))
    return DecodedImage(image, image.size)


def read_webp(data: bytes) -> DecodedImage:
    """Decode the first frame of a WebP file. Its decoder reads only the chunks it needs, so none is filtered here."""
    image = open_image("WEBP", BytesIO(data))
    check_size(image.size, "WebP", MAX_WEBP_PIXELS)
    return DecodedImage(image, image.size, orientation_of(image.info.get("exif", b"")), image.info.get("icc_profile"))


def read_avif(data: bytes) -> DecodedImage:
    """Decode an AVIF file without its EXIF item: its orientation is in boxes (ISO/IEC 23000-22, 7.3.6)."""
    # With this brand, an animation is decoded as its primary picture.
    data = data[:8] + b"avif" + data[12:]
    data = re.sub(rb"(infe(?s:.{8}|.{10}|.{16}|.{18}))Exif", rb"\1\0\0\0\0", data)
    image = open_image("AVIF", BytesIO(data))
    check_size(image.size, "AVIF", MAX_AVIF_PIXELS)
    # The coded frames, one per tile of a grid, may be far larger than declared: the decoder scales them afterwards.
    coded = max_frame_pixels(data)
    if max(coded) > image.width * image.height or sum(coded) > 3 * MAX_AVIF_PIXELS:
        raise InvalidImage(DAMAGED)
    return DecodedImage(image, image.size, orientation_of(image.info.get("exif", b"")), image.info.get("icc_profile"))


def open_image(kind: str, file: BytesIO) -> Image.Image:
    """Open a file of this format: read its header, but not its pixels."""
    return Image.open(file, formats=(kind,))
