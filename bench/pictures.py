"""What pictures cost: `python -m bench.pictures`.

CPU time of one call, the median of several, and the most memory that one call takes above idle, each in a
process of its own. The test pictures are made here. Needs Linux, for the peak of the memory.
"""

import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops

from api.pictures.decode import InvalidImage
from api.pictures.default import render_avatar
from api.pictures.render import render

LARGE = (8192, 6100)
PHOTO = Path(__file__).parent.parent / "tests" / "photos" / "astronaut.jpg"
MEASURE = """
import sys
from api.pictures.decode import InvalidImage
from api.pictures.render import render

def megabytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))

with open("tests/photos/chelsea.png", "rb") as file:
    render(file)
idle = megabytes("VmRSS")
with open(sys.argv[1], "rb") as file:
    render(file)
print(megabytes("VmHWM") - idle)
"""


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(size: tuple[int, int], sigma: float = 12) -> Image.Image:
    """A photo of that size, with a camera's noise."""
    with Image.open(PHOTO) as image:
        large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    noise = Image.merge("RGB", [Image.effect_noise((1000, 1000), sigma) for _ in range(3)])
    sheet = Image.new("RGB", size)
    for top in range(0, size[1], 1000):
        for left in range(0, size[0], 1000):
            sheet.paste(noise, (left, top))
    return ImageChops.add(large, sheet, 1, -128)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    size: tuple[int, int], depth: int, colour_type: int, pixel: int, interlaced: bool = False, *extra: bytes
) -> bytes:
    """A PNG of that many bytes a pixel."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, interlaced))
    row = b"\0" + bytes(range(256)) * (size[0] * pixel // 256 + 1)
    packer, packed = zlib.compressobj(1), []
    # Zeroes, and some to spare, are in order for the passes of interlacing too.
    for _ in range(size[1] + size[1] // 50 * interlaced):
        packed.append(packer.compress(bytes(size[0] * pixel + 1) if interlaced else row[: size[0] * pixel + 1]))
    packed.append(packer.flush())
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", b"".join(packed)) + chunk(b"IEND", b"")


def refused() -> dict[str, bytes]:
    """What is refused, about as large as an upload may be."""
    room = 10 << 20
    small = photo((300, 200))
    jpeg, gif, avif = encoded(small, "JPEG"), encoded(small, "GIF"), encoded(small, "AVIF")
    head, rest = png(LARGE, 16, 6, 8)[:33], png((9, 9), 8, 2, 3)[33:]
    palette = 13 + (6 << (gif[10] & 7))
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    return {
        "10 MiB of text": b"text" * (room // 4),
        "JPEG, cut off": encoded(photo((3000, 4000)), "JPEG")[:-9],
        "JPEG of a million comments": jpeg[:2] + b"\xff\xfe\0\2" * (room // 4) + jpeg[2:],
        "JPEG of very many scans": jpeg[:-2] + scan * (room // len(scan)) + jpeg[-2:],
        "JPEG of fill bytes": jpeg[:-2] + b"\xff" * room,
        "PNG of 4 gigapixels": head[:16] + struct.pack(">II", 65_535, 65_535) + head[24:] + rest,
        "PNG of a million chunks": head + chunk(b"IDAT", b"") * (room // 12) + rest,
        "PNG, cut off": head + chunk(b"IDAT", bytes(room))[:-9],
        "GIF of 4 gigapixels": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "GIF of a million comments": gif[:palette] + b"!\xfe\0" * (room // 3) + gif[palette:],
        "WebP of 64 megapixels": encoded(Image.new("RGB", (8000, 8000)), "WEBP", lossless=True, method=0),
        "AVIF of a million boxes": avif + struct.pack(">I4s", 8, b"free") * (room // 8),
        "AVIF of 64 megapixels": encoded(Image.new("RGB", (8000, 8000)), "AVIF", speed=10),
    }


def largest() -> dict[str, Callable[[], bytes]]:
    """What takes most memory, each at its limit."""
    palette = chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(range(256)))
    clear = (1, 2, 3, 128)
    still, film = (5160, 3870), {"save_all": True, "append_images": [Image.new("RGBA", (5160, 3870), "red")]}
    return {
        "50 MP PNG, RGBA": lambda: png(LARGE, 8, 6, 4),
        "50 MP PNG, RGBA of 16 bits": lambda: png(LARGE, 16, 6, 8),
        "50 MP PNG, RGBA of 16 bits, interlaced": lambda: png(LARGE, 16, 6, 8, True),
        "50 MP PNG, grey of 16 bits": lambda: png(LARGE, 16, 0, 2),
        "50 MP PNG, palette with alpha": lambda: png(LARGE, 8, 3, 1, False, *palette),
        "50 MP PNG, 65535 wide": lambda: png((65_535, 762), 8, 6, 4),
        "50 MP GIF": lambda: encoded(
            photo(LARGE).quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE), "GIF"
        ),
        "50 MP JPEG": lambda: encoded(photo(LARGE), "JPEG"),
        "50 MP JPEG, CMYK": lambda: encoded(photo(LARGE).convert("CMYK"), "JPEG"),
        "50 MP JPEG, progressive 4:2:0": lambda: encoded(photo(LARGE), "JPEG", progressive=True),
        "50 MP JPEG, progressive 4:4:4": lambda: encoded(photo(LARGE), "JPEG", progressive=True, subsampling=0),
        "37 MP JPEG, progressive CMYK": lambda: encoded(photo((7000, 5350)).convert("CMYK"), "JPEG", progressive=True),
        "20 MP WebP": lambda: encoded(photo(still), "WEBP", method=0),
        "20 MP WebP with alpha": lambda: encoded(Image.new("RGBA", still, clear), "WEBP", method=0),
        "20 MP WebP, lossless": lambda: encoded(Image.new("RGBA", still, clear), "WEBP", lossless=True, method=0),
        "20 MP WebP, animated": lambda: encoded(Image.new("RGBA", still, clear), "WEBP", method=0, **film),
        "20 MP AVIF": lambda: encoded(photo((5160, 3870)), "AVIF", speed=10),
        "20 MP AVIF, 4:4:4 with alpha": lambda: encoded(
            Image.new("RGBA", (5160, 3870), clear), "AVIF", speed=10, subsampling="4:4:4"
        ),
    }


def cpu_ms(data: bytes, times: int) -> tuple[float, str]:
    taken, said = [], ""
    for _ in range(times):
        start = time.process_time()
        try:
            render(BytesIO(data))
        except InvalidImage as error:
            said = str(error)
        taken.append(1000 * (time.process_time() - start))
    return statistics.median(taken), said


def main() -> None:
    print(f"{'12 MP JPEG':42}{'MB':>8}{'CPU ms':>8}")
    twelve = photo((4000, 3000))
    for name, options in (
        ("baseline 4:2:0", {}),
        ("progressive 4:2:0", {"progressive": True}),
        ("baseline 4:4:4", {"subsampling": 0}),
        ("progressive 4:4:4", {"subsampling": 0, "progressive": True}),
    ):
        data = encoded(twelve, "JPEG", quality=85, **options)
        print(f"{name:42}{len(data) / 1e6:8.1f}{cpu_ms(data, 9)[0]:8.0f}")

    print(f"\n{'A default picture':50}{'CPU ms':>8}")
    start = time.process_time()
    for number in range(50):
        render_avatar(f"{number}")
    print(f"{'drawn':50}{(time.process_time() - start) * 20:8.0f}")

    print(f"\n{'Refused':42}{'MB':>8}{'CPU ms':>8}")
    for name, data in refused().items():
        taken, said = cpu_ms(data, 5)
        print(f"{name:42}{len(data) / 1e6:8.1f}{taken:8.1f}{'' if said else '  (taken)'}")

    print(f"\n{'Largest':42}{'CPU ms':>8}{'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in largest().items():
            path = Path(folder, "picture")
            path.write_bytes(make())
            root = Path(__file__).parent.parent
            peak = subprocess.run([sys.executable, "-c", MEASURE, path], cwd=root, check=True, capture_output=True)
            taken, said = cpu_ms(path.read_bytes(), 1)
            print(f"{name:42}{taken:8.0f}{float(peak.stdout):8.0f}{said and '  (refused)'}", flush=True)


if __name__ == "__main__":
    main()
