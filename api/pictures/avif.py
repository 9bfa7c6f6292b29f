"""Read the frame sizes of an AVIF file, before it is decoded.

A file of 4 KB can contain a frame of 200 megapixels and declare a small one: the decoder allocates memory for it, and
scales it afterwards. The actual sizes are those in the AV1 data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO

# Maximum number of boxes, items or units, against denial of service. Encoders write a few dozen.
MAX_PARTS = 20_000
UNPARSABLE = "cannot read the frame sizes of this AVIF file"


def max_frame_pixels(data: bytes) -> list[int]:
    """Return the pixels of the largest frame of each item. Raises `ValueError`, `LookupError` or `struct.error`."""
    return [largest_frame(item) for item in items(data)]


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and content of each box (ISO/IEC 14496-12, 4.2)."""
    position = 0
    for _ in range(MAX_PARTS):
        if position >= len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = max(start, position + size) if size else len(data)
        yield kind, data[start:end]
        position = end
    raise ValueError(UNPARSABLE)


def items(data: bytes) -> Iterator[bytes]:
    """Yield the content of each item: coded pictures, but metadata too (ISO/IEC 14496-12, 8.11.3)."""
    (meta,) = (dict(boxes(content[4:])) for kind, content in boxes(data) if kind == b"meta")
    table = BytesIO(meta[b"iloc"])

    def number(size: int) -> int:
        return int.from_bytes(table.read(size))

    version, _, sizes = number(1), number(3), number(2)
    count = number(4 if version > 1 else 2)
    if count > MAX_PARTS:
        raise ValueError(UNPARSABLE)
    for _ in range(count):
        number(4 if version > 1 else 2)
        area = meta[b"idat"] if version and number(2) & 15 else data
        number(2)
        start = number(sizes >> 4 & 15)
        if number(2) != 1:
            raise ValueError(UNPARSABLE)  # An item in several extents. No encoder writes these.
        number(sizes & 15 if version else 0)
        start += number(sizes >> 12)
        yield area[start : start + number(sizes >> 8 & 15)]


def largest_frame(data: bytes) -> int:
    """Return the pixels of the largest frame declared in AV1 data (AV1 specification, 5.3); 0 for other data."""
    largest = position = 0
    for _ in range(MAX_PARTS):
        if position >= len(data):
            return largest
        header = data[position]
        position += 2 if header & 4 else 1
        size = len(data)
        if header & 2:
            size = 0
            for shift in range(0, 56, 7):
                size |= (data[position] & 127) << shift
                position += 1
                if data[position - 1] < 128:
                    break
        if header >> 3 & 15 == 1:
            largest = max(largest, frame_pixels(data[position : position + size]))
        position += size
    raise ValueError(UNPARSABLE)


def frame_pixels(sequence_header: bytes) -> int:
    """Return the pixels of a frame (AV1 specification, 5.5.1)."""
    bits = (byte >> shift & 1 for byte in sequence_header for shift in range(7, -1, -1))

    def take(count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | next(bits)
        return value

    take(4)
    if take(1):
        take(5)
    elif take(1):
        raise ValueError(UNPARSABLE)  # Timing information, which only videos have.
    else:
        delays = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if delays and take(1):
                take(4)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    return (take(width_bits) + 1) * (take(height_bits) + 1)
