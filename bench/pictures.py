"""CPU time and peak memory of rendering pictures: `python -m bench.pictures`.

The CPU time is the median of several calls, and includes that of the decoder process. The peak memory, above idle, is
that of a new decoder process. Both need Linux. The pictures are generated.
"""

import math
import os
import statistics
import struct
import subprocess
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pillow_heif
from PIL import Image, ImageChops

from api.pictures.decode import InvalidImage
from api.pictures.decoder import Decoder, decoder
from api.pictures.decoder_process import MAX_CPU_SECONDS
from api.pictures.default import render_avatar

LARGE = (8192, 6100)
PHOTO = Path(__file__).parent.parent / "tests" / "photos" / "astronaut.jpg"


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the image in this format."""
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def make_photo(size: tuple[int, int], sigma: float = 12) -> Image.Image:
    """Return a photo of this size with the noise of a camera."""
    with Image.open(PHOTO) as image:
        large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    noise = Image.merge("RGB", [Image.effect_noise((1000, 1000), sigma) for _ in range(3)])
    sheet = Image.new("RGB", size)
    for top in range(0, size[1], 1000):
        for left in range(0, size[0], 1000):
            sheet.paste(noise, (left, top))
    return ImageChops.add(large, sheet, 1, -128)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk: length, type, content and CRC."""
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def make_png(
    size: tuple[int, int], depth: int, colour_type: int, pixel: int, interlaced: bool = False, *extra: bytes
) -> bytes:
    """Return a PNG with `pixel` bytes per pixel."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, interlaced))
    row = b"\0" + bytes(range(256)) * (size[0] * pixel // 256 + 1)
    packer, packed = zlib.compressobj(1), []
    # An interlaced PNG has more rows, since each pass rounds up. Here they are zeroes, with some to spare.
    for _ in range(size[1] + size[1] // 50 * interlaced):
        packed.append(packer.compress(bytes(size[0] * pixel + 1) if interlaced else row[: size[0] * pixel + 1]))
    packed.append(packer.flush())
    return (
        b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + png_chunk(b"IDAT", b"".join(packed)) + png_chunk(b"IEND", b"")
    )


def make_refused() -> dict[str, bytes]:
    """Return files that are refused, about as large as an upload may be."""
    upload_size = 10 << 20
    small = make_photo((300, 200))
    jpeg, gif, avif = encode(small, "JPEG"), encode(small, "GIF"), encode(small, "AVIF")
    head, rest = make_png(LARGE, 16, 6, 8)[:33], make_png((9, 9), 8, 2, 3)[33:]
    palette = 13 + (6 << (gif[10] & 7))
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    return {
        "10 MiB of text": b"text" * (upload_size // 4),
        "JPEG, cut off": encode(make_photo((3000, 4000)), "JPEG")[:-9],
        "JPEG of a million comments": jpeg[:2] + b"\xff\xfe\0\2" * (upload_size // 4) + jpeg[2:],
        "JPEG of very many scans": jpeg[:-2] + scan * (upload_size // len(scan)) + jpeg[-2:],
        "JPEG of fill bytes": jpeg[:-2] + b"\xff" * upload_size,
        "PNG of 4 gigapixels": head[:16] + struct.pack(">II", 65_535, 65_535) + head[24:] + rest,
        "PNG of a million chunks": head + png_chunk(b"IDAT", b"") * (upload_size // 12) + rest,
        "PNG, cut off": head + png_chunk(b"IDAT", bytes(upload_size))[:-9],
        "GIF of 4 gigapixels": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "GIF of a million comments": gif[:palette] + b"!\xfe\0" * (upload_size // 3) + gif[palette:],
        "WebP of 64 megapixels": encode(Image.new("RGB", (8000, 8000)), "WEBP", lossless=True, method=0),
        "AVIF of a million boxes": avif + struct.pack(">I4s", 8, b"free") * (upload_size // 8),
        "AVIF of 64 megapixels": encode(Image.new("RGB", (8000, 8000)), "AVIF", speed=10),
    }


def largest_pictures() -> dict[str, Callable[[], bytes]]:
    """Return functions that make the pictures that take the most memory, each at its limit."""
    palette = png_chunk(b"PLTE", bytes(768)), png_chunk(b"tRNS", bytes(range(256)))
    translucent = (1, 2, 3, 128)
    size = (5160, 3870)
    animation = {"save_all": True, "append_images": [Image.new("RGBA", size, "red")]}
    return {
        "50 MP PNG, RGBA": lambda: make_png(LARGE, 8, 6, 4),
        "50 MP PNG, RGBA of 16 bits": lambda: make_png(LARGE, 16, 6, 8),
        "50 MP PNG, RGBA of 16 bits, interlaced": lambda: make_png(LARGE, 16, 6, 8, True),
        "50 MP PNG, grey of 16 bits": lambda: make_png(LARGE, 16, 0, 2),
        "50 MP PNG, palette with alpha": lambda: make_png(LARGE, 8, 3, 1, False, *palette),
        "50 MP PNG, 65535 wide": lambda: make_png((65_535, 762), 8, 6, 4),
        "50 MP GIF": lambda: encode(
            make_photo(LARGE).quantize(64, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE), "GIF"
        ),
        "50 MP JPEG": lambda: encode(make_photo(LARGE), "JPEG"),
        "50 MP JPEG, CMYK": lambda: encode(make_photo(LARGE).convert("CMYK"), "JPEG"),
        "50 MP JPEG, progressive 4:2:0": lambda: encode(make_photo(LARGE), "JPEG", progressive=True),
        "50 MP JPEG, progressive 4:4:4": lambda: encode(make_photo(LARGE), "JPEG", progressive=True, subsampling=0),
        "37 MP JPEG, progressive CMYK": lambda: encode(
            make_photo((7000, 5350)).convert("CMYK"), "JPEG", progressive=True
        ),
        "20 MP WebP": lambda: encode(make_photo(size), "WEBP", method=0),
        "20 MP WebP with alpha": lambda: encode(Image.new("RGBA", size, translucent), "WEBP", method=0),
        "20 MP WebP, lossless": lambda: encode(Image.new("RGBA", size, translucent), "WEBP", lossless=True, method=0),
        "20 MP WebP, animated": lambda: encode(Image.new("RGBA", size, translucent), "WEBP", method=0, **animation),
        "25 MP HEIC": lambda: encode(make_photo((5776, 4328)), "HEIF"),
        "20 MP AVIF": lambda: encode(make_photo(size), "AVIF", speed=10),
        "20 MP AVIF, 4:4:4 with alpha": lambda: encode(
            Image.new("RGBA", size, translucent), "AVIF", speed=10, subsampling="4:4:4"
        ),
    }


def measure(decoder: Decoder, data: bytes) -> tuple[float, str]:
    """Return the CPU time in milliseconds, here and in the decoder process, and the message if it is refused."""
    message, process = "", decoder.connect() and decoder.process
    start = time.process_time() + cpu_seconds(process)
    try:
        decoder.render(data)
    except InvalidImage as error:
        message = str(error)
    spent = time.process_time() + (cpu_seconds(process) if process is decoder.process else MAX_CPU_SECONDS)
    return 1000 * (spent - start), message


def measure_cpu_ms(data: bytes, rounds: int) -> tuple[float, str]:
    """Return the median CPU time, and the message if the picture is refused."""
    results = [measure(decoder, data) for _ in range(rounds)]
    return statistics.median(cpu_ms for cpu_ms, _ in results), results[0][1]


def measure_peak_mb(data: bytes) -> float:
    """Return the peak memory of a new decoder process, above idle."""
    fresh = Decoder()
    fresh.render(PHOTO.read_bytes())
    idle = memory_mb(fresh.process, "VmRSS")
    with suppress(InvalidImage):
        fresh.render(data)
    peak = memory_mb(fresh.process, "VmHWM") if fresh.process else math.nan
    fresh.stop()
    return peak - idle


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time of a process (proc_pid_stat(5))."""
    values = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: subprocess.Popen[bytes], name: str) -> float:
    """Return a value of proc_pid_status(5)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main() -> None:
    """Measure all pictures and print the results."""
    pillow_heif.register_heif_opener()  # to make the HEIC
    print(f"{'12 MP JPEG':42}{'MB':>8}{'CPU ms':>8}")
    camera_photo = make_photo((4000, 3000))
    for name, options in (
        ("baseline 4:2:0", {}),
        ("progressive 4:2:0", {"progressive": True}),
        ("baseline 4:4:4", {"subsampling": 0}),
        ("progressive 4:4:4", {"subsampling": 0, "progressive": True}),
    ):
        data = encode(camera_photo, "JPEG", quality=85, **options)
        print(f"{name:42}{len(data) / 1e6:8.1f}{measure_cpu_ms(data, 9)[0]:8.0f}")

    print(f"\n{'Default picture':50}{'CPU ms':>8}")
    start = time.process_time()
    for number in range(50):
        render_avatar(f"{number}")
    print(f"{'rendered':50}{(time.process_time() - start) * 20:8.0f}")

    print(f"\n{'Refused':42}{'MB':>8}{'CPU ms':>8}")
    for name, data in make_refused().items():
        cpu_ms, message = measure_cpu_ms(data, 5)
        print(f"{name:42}{len(data) / 1e6:8.1f}{cpu_ms:8.1f}{'' if message else '  (accepted)'}")

    print(f"\n{'Largest':42}{'CPU ms':>8}{'peak MB':>8}")
    for name, make in largest_pictures().items():
        data = make()
        peak, (cpu_ms, message) = measure_peak_mb(data), measure_cpu_ms(data, 1)
        print(f"{name:42}{cpu_ms:8.0f}{peak:8.0f}{message and '  (refused)'}", flush=True)


if __name__ == "__main__":
    main()
