"""What of an uploaded file reaches Pillow: the one picture, without what stands around it.

Pillow parses whatever else is in a file (EXIF, texts, further pictures), as much as there is, and warns of what is odd.
So the parts of each format are sorted and counted here, and Pillow gets those of one picture of a known size.
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
MAX_SIDE = 65_535  # Where JPEG and GIF end; a PNG decoder keeps two whole lines, however long.

# Where reading 50 megapixels would take more than 350 MB. Bytes a pixel: WebP 16 (two canvases and two copies),
# AVIF up to 16 (four planes of two bytes and two copies), JPEG in scans two for each component.
MAX_WEBP_PIXELS = 20_000_000
MAX_AVIF_PIXELS = 20_000_000
MAX_COEFFICIENTS = 150_000_000

MAX_SCANS = 64  # Encoders write about ten; each is a walk over the whole picture.
MAX_PARTS = 20_000  # Segments, chunks or boxes, each a turn of a Python loop: 10 MiB could hold millions.
MAX_GIF_HEAD = 1 << 20
MAX_PROFILE = 4 << 20

EMPTY = "The file is empty; choose a picture and send it again."
UNKNOWN = "This is not a picture we can read; send a JPEG, PNG, WebP, GIF or AVIF file."
DAMAGED = "The picture is damaged or incomplete; save it anew and send it again."
TOO_LARGE = "A picture may have at most {} megapixels; make it smaller and send it again."
TOO_LARGE_AS = "{} may have at most {} megapixels; make it smaller or send it as a JPEG."
TOO_LONG = "A picture may have at most {} pixels on a side; make it smaller and send it again."
TOO_COMPLEX = "This JPEG takes too much memory or time to read; make it smaller or save it as not progressive."

ORIENTATION_TAG = 0x0112


class InvalidImage(ValueError):
    """What was sent is no picture that we take. Its text tells a person what is wrong and what to do."""


class DecodedImage(NamedTuple):
    """A picture as it was sent. `image` may have been read at one `scale`th of its full `size`."""

    image: Image.Image
    size: Size
    orientation: int = 1
    profile: bytes | None = None
    scale: int = 1


def read_picture(data: bytes, box: Size) -> DecodedImage:
    """The first picture of a file, at no less than the size at which it fits into the box. Raises `InvalidImage`."""
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
    """Raise `InvalidImage` for more pixels than we decode."""
    pixels = size[0] * size[1]
    if pixels > MAX_PIXELS:
        raise InvalidImage(TOO_LARGE.format(MAX_PIXELS // 1_000_000))
    if pixels > limit:
        raise InvalidImage(TOO_LARGE_AS.format(kind, limit // 1_000_000))
    if max(size) > MAX_SIDE:
        raise InvalidImage(TOO_LONG.format(MAX_SIDE))


def orientation_of(exif: bytes) -> int:
    """The orientation, 1 to 8, by the first directory of an EXIF block (TIFF 6.0, section 2); 1 in doubt."""
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


# A marker that ends coded data: no stuffed zero, no restart, no fill byte (ITU T.81, B.1.1).
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
FRAMES = b"\xc0\xc1\xc2"  # Baseline, extended, progressive: those that browsers show.
TABLES = b"\xc4\xdb\xdd"
JFIF, EXIF, ICC, ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
SCAN, END = 0xDA, 0xD9


def segments_of(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Kind, content and following coded data of each segment of a JPEG file's first picture."""
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
    """The first picture of a JPEG, with the segments that its pixels and colours need (ITU T.81, annex B)."""
    if data.count(b"\xff\xff") > len(data) // 4:
        raise InvalidImage(DAMAGED)  # half of it fill bytes, each of which would cost a step
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
    # The decoder shrinks by these for far less than all pixels cost. The last third is ours, for its looks.
    ratio = min(max(width / box[0], height / box[1]) / 1.5, width, height)
    scale = next(scale for scale in (8, 4, 2, 1) if ratio >= scale or scale == 1)

    file = BytesIO()
    file.write(b"\xff\xd8")
    for kind, content, coded in segments:
        is_profile = kind == ICC and content[2:13] == b"ICC_PROFILE"
        if kind in FRAMES + TABLES or kind in (SCAN, JFIF, ADOBE) or is_profile:
            file.write(bytes((0xFF, kind)) + content)
        # An eighth needs the mean of each 8x8 block alone. The scans of all else are made empty, not left
        # out, because the decoder blurs blocks whose scans are missing.
        if kind == SCAN and (scale < 8 or not progressive or content[-3] == 0):
            file.write(coded)
    file.write(bytes((0xFF, END)))
    file.seek(0)
    image = open_image("JPEG", file)
    image.draft(None, (width // scale, height // scale))
    image.load()
    return DecodedImage(image, (width, height), orientation, image.info.get("icc_profile"), scale)


def read_png(data: bytes) -> DecodedImage:
    """A PNG with the chunks that its pixels and colours need (PNG, third edition, section 5)."""
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
        # Pillow brings the pixels to 8 bits, but not the one colour that stands for transparency.
        key, depth = image.info["transparency"], data[24]
        if depth == 16:
            key = key >> 8 if isinstance(key, int) else tuple(level >> 8 for level in key)
        elif depth < 8:
            key = key * 255 // (2**depth - 1)
        image.info["transparency"] = key
    return DecodedImage(image, image.size, orientation_of(exif), profile)


def decompress_icc(packed: bytes) -> bytes:
    """The start of what was packed, so much of it as a colour profile may have; nothing where it is broken."""
    try:
        return zlib.decompressobj().decompress(packed, MAX_PROFILE)
    except zlib.error:
        return b""


def read_gif(data: bytes) -> DecodedImage:
    """The first frame of a GIF, without the extensions before it but the one that names its transparency."""
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
    """The first frame of a WebP file: its decoder sorts the parts by itself, and reads no more than we ask for."""
    image = open_image("WEBP", BytesIO(data))
    check_size(image.size, "A WebP picture", MAX_WEBP_PIXELS)
    return DecodedImage(image, image.size, orientation_of(image.info.get("exif", b"")), image.info.get("icc_profile"))


def read_avif(data: bytes) -> DecodedImage:
    """The picture of an AVIF file, without its EXIF item: its orientation stands in boxes (ISO/IEC 23000-22, 7.3.6)."""
    # By this brand, an animation is the picture that stands for it.
    data = data[:8] + b"avif" + data[12:]
    data = re.sub(rb"(infe(?s:.{8}|.{10}|.{16}|.{18}))Exif", rb"\1\0\0\0\0", data)
    image = open_image("AVIF", BytesIO(data))
    check_size(image.size, "An AVIF picture", MAX_AVIF_PIXELS)
    # A frame may be coded far larger than it is declared, in each tile of a grid: the decoder scales it, afterwards.
    coded = max_frame_pixels(data)
    if max(coded) > image.width * image.height or sum(coded) > 3 * MAX_AVIF_PIXELS:
        raise InvalidImage(DAMAGED)
    return DecodedImage(image, image.size, orientation_of(image.info.get("exif", b"")), image.info.get("icc_profile"))


def open_image(kind: str, file: BytesIO) -> Image.Image:
    """A file of this format, its header read and its pixels not."""
    return Image.open(file, formats=(kind,))
