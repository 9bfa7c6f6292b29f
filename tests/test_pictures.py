"""Pictures: decoding, orientation, colours, rejection of hostile files, memory limits, and default pictures."""

import hashlib
import os
import random
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image, ImageChops, ImageCms, ImageColor, ImageOps, ImageStat

from api.pictures import decode, default
from api.pictures import render as rendering
from api.pictures.decode import InvalidImage
from api.pictures.decoder import Decoder, decoder
from api.pictures.default import render_avatar

from .live_server import ROOT, wait_until

PHOTOS = ROOT / "tests" / "photos"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF")
pillow_heif.register_heif_opener()  # to write the files of the tests
ORIENTATION, GPS = 0x0112, 0x8825
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def encode(image, kind, **options):
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def render_bytes(data):
    """Render in the decoder process, as the application does."""
    return decoder.render(data)


def open_largest(rendering):
    return Image.open(BytesIO(rendering.double or rendering.normal))


def corner_colours(image):
    """Return the colours near the four corners, row by row."""
    image = image.convert("RGB")
    x, y = image.width // 8, image.height // 8
    right, bottom = image.width - 1 - x, image.height - 1 - y
    return [image.getpixel(point) for point in ((x, y), (right, y), (x, bottom), (right, bottom))]


def is_close(colours, expected, tolerance=24):
    pairs = zip(colours, expected, strict=True)
    return all(abs(a - b) <= tolerance for one, other in pairs for a, b in zip(one, other, strict=True))


def make_quadrants(size=(400, 300)):
    image = Image.new("RGB", size, RED)
    half = size[0] // 2, size[1] // 2
    image.paste(GREEN, (half[0], 0, size[0], half[1]))
    image.paste(BLUE, (0, half[1], half[0], size[1]))
    image.paste(WHITE, (*half, *size))
    return image


def png_chunk(kind, content):
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def make_png(width, height, depth, colour_type, rows, *extra):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(rows, 1))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(extra) + pixels + png_chunk(b"IEND", b"")


def insert_png_chunks(png_file, *chunks):
    return png_file[:33] + b"".join(chunks) + png_file[33:]


def jpeg_segment(kind, content):
    return bytes((0xFF, kind)) + struct.pack(">H", len(content) + 2) + content


def insert_jpeg_segments(jpeg_file, *segments):
    return jpeg_file[:2] + b"".join(segments) + jpeg_file[2:]


def set_jpeg_size(jpeg_file, width, height):
    at = max(jpeg_file.find(b"\xff\xc0"), jpeg_file.find(b"\xff\xc2")) + 5
    return jpeg_file[:at] + struct.pack(">HH", height, width) + jpeg_file[at + 4 :]


def set_avif_size(avif_file, old, new):
    ispe = b"ispe\0\0\0\0"
    assert ispe + struct.pack(">II", *old) in avif_file
    return avif_file.replace(ispe + struct.pack(">II", *old), ispe + struct.pack(">II", *new))


def make_exif(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def make_swapped_profile():
    """Return a colour profile with red and green swapped."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"####").replace(b"gXYZ", b"rXYZ").replace(b"####", b"gXYZ")


@pytest.fixture(scope="module")
def photo():
    with Image.open(PHOTOS / "astronaut.jpg") as image:
        return image.convert("RGB")


# Formats and sizes


@pytest.mark.parametrize("kind", FORMATS)
def test_renders_every_format(photo, kind):
    rendering = render_bytes(encode(photo, kind))
    assert (rendering.width, rendering.height) == (125, 125)
    small = photo.resize((250, 250))
    difference = ImageChops.difference(open_largest(rendering).convert("RGB"), small)
    assert max(ImageStat.Stat(difference).mean) < 8


@pytest.mark.parametrize(
    ("name", "normal", "double"),
    [
        ("grace_hopper.jpg", (125, 146), (250, 293)),
        ("astronaut.jpg", (125, 125), (250, 250)),
        ("chelsea.png", (125, 83), (250, 166)),
    ],
)
def test_photo_is_scaled_to_both_sizes(name, normal, double):
    rendering = render_bytes((PHOTOS / name).read_bytes())
    assert (rendering.width, rendering.height) == normal
    for data, size in ((rendering.normal, normal), (rendering.double, double)):
        image = Image.open(BytesIO(data))
        assert (image.format, image.size) == ("WEBP", size)


def test_small_picture_is_not_enlarged_and_has_no_double():
    rendering = render_bytes(encode(make_quadrants((100, 60)), "PNG"))
    assert (rendering.width, rendering.height, rendering.double) == (100, 60, None)
    assert Image.open(BytesIO(rendering.normal)).size == (100, 60)
    assert render_bytes(encode(make_quadrants((125, 175)), "PNG")).double is None


def test_medium_picture_keeps_its_pixels_in_double():
    rendering = render_bytes(encode(make_quadrants((200, 100)), "PNG"))
    assert (rendering.width, rendering.height) == (125, 62)
    assert open_largest(rendering).size == (200, 100)


@pytest.mark.parametrize(("size", "normal"), [((60_000, 1), (125, 1)), ((1, 60_000), (1, 175)), ((1, 1), (1, 1))])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_thin_picture_keeps_at_least_one_pixel(size, normal, kind):
    rendering = render_bytes(encode(Image.new("L", size, 200), kind))
    assert (rendering.width, rendering.height) == normal
    assert is_close(corner_colours(open_largest(rendering)), [(200, 200, 200)] * 4)


@pytest.mark.parametrize(
    ("size", "orientation"), [((801, 531), 1), ((1601, 1203), 3), ((3201, 2403), 1), ((3000, 2000), 6)]
)
def test_jpeg_draft_mode_equals_full_decode(photo, size, orientation, monkeypatch):
    encode_webp = rendering.encode_webp
    monkeypatch.setattr(rendering, "encode_webp", lambda picture, lossless: encode_webp(picture, True))
    picture = photo.resize(size, Image.Resampling.NEAREST)
    data = encode(picture, "JPEG", quality=90, exif=make_exif(orientation))
    double = open_largest(rendering.render(data))
    expected = ImageOps.exif_transpose(Image.open(BytesIO(data))).resize(double.size, Image.Resampling.LANCZOS)
    assert max(ImageStat.Stat(ImageChops.difference(double, expected)).mean) < 1.2


def test_rotated_jpeg_keeps_sharpness(monkeypatch):
    encode_webp = rendering.encode_webp
    monkeypatch.setattr(rendering, "encode_webp", lambda picture, lossless: encode_webp(picture, True))
    noise = Image.effect_noise((750, 500), 60).resize((3000, 2000), Image.Resampling.NEAREST)
    data = encode(noise, "JPEG", exif=make_exif(6))
    double = open_largest(rendering.render(data))
    expected = ImageOps.exif_transpose(Image.open(BytesIO(data))).resize(double.size, Image.Resampling.LANCZOS)
    assert max(ImageStat.Stat(ImageChops.difference(double.convert("L"), expected)).mean) < 4


def test_downscaling_in_bands_equals_single_pass(photo, monkeypatch):
    data = encode(photo.resize((1500, 1300)), "PNG", compress_level=1)
    monkeypatch.setattr(rendering, "BAND_PIXELS", 1500 * 17)
    assert rendering.render(data) == render_bytes(data)


@pytest.fixture(scope="module")
def progressive_jpeg(photo):
    return encode(photo.resize((3200, 3200)), "JPEG", progressive=True, subsampling=0)


def test_large_progressive_jpeg_is_rendered_faithfully(photo, progressive_jpeg):
    difference = ImageChops.difference(open_largest(render_bytes(progressive_jpeg)), photo.resize((250, 250)))
    assert max(ImageStat.Stat(difference).mean) < 4


# Orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (4, [BLUE, WHITE, RED, GREEN]),
        (5, [RED, BLUE, GREEN, WHITE]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (7, [WHITE, GREEN, BLUE, RED]),
        (8, [GREEN, WHITE, RED, BLUE]),
    ],
)
def test_applies_exif_orientation(kind, orientation, expected):
    data = encode(make_quadrants(), kind, exif=make_exif(orientation))
    rendering = render_bytes(data)
    assert is_close(corner_colours(open_largest(rendering)), expected)
    assert (rendering.width, rendering.height) == ((125, 94) if orientation < 5 else (125, 167))


def test_applies_exif_orientation_to_large_photo():
    rendering = render_bytes(encode(make_quadrants((4000, 3000)), "JPEG", exif=make_exif(6)))
    assert open_largest(rendering).size == (250, 333)
    assert is_close(corner_colours(open_largest(rendering)), [BLUE, RED, WHITE, GREEN])


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II",
        b"XX*\0\x08\0\0\0",
        b"MM\0*\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\0\0\x07\xff\xff\xff\xff\0\0\0\x08" * 5000,
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x01\0\x06\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03",
    ],
)
def test_invalid_exif_is_ignored(exif):
    plain = encode(make_quadrants(), "JPEG")
    data = insert_jpeg_segments(plain, jpeg_segment(0xE1, b"Exif\0\0" + exif))
    assert render_bytes(data) == render_bytes(plain)


def test_exif_after_xmp_segment_is_found():
    data = encode(make_quadrants(), "JPEG", exif=make_exif(6))
    xmp = jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    assert render_bytes(insert_jpeg_segments(data, xmp)) == render_bytes(data)


def test_invalid_avif_exif_is_ignored():
    exif = Image.Exif()
    exif[0x010E] = "description"
    data = encode(make_quadrants(), "AVIF", exif=exif.tobytes())
    directory = exif.tobytes()[6:14]
    broken = data.replace(directory, directory[:4] + b"\x7f\x7f\x7f\x7f")
    assert broken != data
    assert render_bytes(broken) == render_bytes(data)


# Animations and multi-picture files


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "HEIF"])
def test_animation_shows_first_frame(kind):
    data = encode(
        Image.new("RGB", (300, 300), RED), kind, save_all=True, append_images=[Image.new("RGB", (300, 300), BLUE)]
    )
    assert is_close(corner_colours(open_largest(render_bytes(data))), [RED] * 4)


def test_avif_animation_with_empty_primary_item_shows_first_frame():
    frame = Image.new("RGB", (300, 300), RED)
    data = encode(frame, "AVIF", save_all=True, append_images=[Image.new("RGB", (300, 300), BLUE)])
    extent = data.index(b"iloc") + 18
    data = data[:extent] + struct.pack(">II", len(data), 0) + data[extent + 8 :]
    assert is_close(corner_colours(open_largest(render_bytes(data))), [RED] * 4)


def test_mpo_shows_first_picture():
    data = encode(make_quadrants(), "MPO", save_all=True, append_images=[Image.new("RGB", (400, 300), BLACK)])
    assert render_bytes(data) == render_bytes(encode(make_quadrants(), "JPEG"))


def test_invalid_mpf_index_is_ignored():
    mpf = b"MPF\0MM\0*\0\0\0\x08\0\x02" + struct.pack(">HHIIHHII", 0xB001, 4, 1, 9, 0xB002, 7, 99, 0xFFFFFF) + bytes(4)
    data = encode(make_quadrants(), "JPEG")
    assert render_bytes(insert_jpeg_segments(data, jpeg_segment(0xE2, mpf))) == render_bytes(data)


def test_invalid_apng_chunks_are_ignored():
    data = encode(make_quadrants(), "PNG")
    frames = png_chunk(b"acTL", struct.pack(">II", 0, 0))
    assert render_bytes(insert_png_chunks(data, frames, frames)) == render_bytes(data)


# Metadata


@pytest.mark.parametrize("kind", FORMATS)
def test_metadata_is_stripped(photo, kind):
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    exif[0x010E] = "SECRET description"
    exif.get_ifd(GPS)[1] = "SECRET place"
    options = {"JPEG": {"comment": b"SECRET"}, "GIF": {"comment": b"SECRET"}}.get(kind, {})
    if kind != "GIF":
        options |= {
            "exif": exif.tobytes(),
            "icc_profile": make_swapped_profile(),
            "xmp": b"<x:xmpmeta>SECRET</x:xmpmeta>",
        }
    data = encode(photo, kind, **options)
    if kind == "PNG":
        data = insert_png_chunks(data, png_chunk(b"tEXt", b"Comment\0SECRET"))
    assert b"SECRET" in data
    rendering = render_bytes(data)
    for file in (rendering.normal, rendering.double):
        assert b"SECRET" not in file
        assert file[12:16] in (b"VP8 ", b"VP8L")
        assert set(Image.open(BytesIO(file)).info) <= {"loop", "background", "timestamp", "duration"}


# Colours


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_colour_profile_is_converted_to_srgb(kind):
    data = encode(Image.new("RGB", (300, 300), (220, 40, 40)), kind, icc_profile=make_swapped_profile())
    assert is_close(corner_colours(open_largest(render_bytes(data))), [(40, 220, 40)] * 4)


def test_colour_profile_is_converted_with_transparency():
    data = encode(Image.new("RGBA", (300, 300), (220, 40, 40, 128)), "PNG", icc_profile=make_swapped_profile())
    image = open_largest(render_bytes(data))
    assert is_close([image.getpixel((50, 50))], [(40, 220, 40, 128)])


@pytest.mark.parametrize(
    "profile", [b"nonsense", make_swapped_profile()[:200], make_swapped_profile()[:128] + bytes(400)]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_invalid_colour_profile_is_ignored(kind, profile):
    data = encode(make_quadrants(), kind, icc_profile=profile)
    assert is_close(corner_colours(open_largest(render_bytes(data))), corner_colours(make_quadrants()))


def test_oversized_colour_profile_is_ignored():
    profile = make_swapped_profile().ljust(decode.MAX_PROFILE + 1, b"\0")
    data = encode(make_quadrants(), "WEBP", icc_profile=profile)
    assert render_bytes(data) == render_bytes(encode(make_quadrants(), "WEBP"))


def test_cmyk_profile_is_converted_to_srgb():
    # A minimal profile: a lookup table that maps pure cyan to pink (ICC.1:2022, 10.11).
    steps = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    white, black, pink = b"\xff\x80\x80", b"\0\x80\x80", b"\x99\xc8\x80"
    colours = white + black * 7 + pink + black * 7
    table = b"mft1\0\0\0\0\x04\x03\x02\0" + matrix + steps * 4 + colours + steps * 3
    header = bytes(8) + b"\x02\x20\0\0prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D) + bytes(48)
    profile = header + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table
    profile = struct.pack(">I", len(profile)) + profile[4:]
    data = encode(Image.new("CMYK", (300, 300), (255, 0, 0, 0)), "JPEG", icc_profile=profile)
    assert is_close(corner_colours(open_largest(render_bytes(data))), [(242, 68, 146)] * 4)


def test_colour_profile_of_other_mode_is_ignored():
    data = encode(Image.new("L", (300, 300), 90), "JPEG", icc_profile=make_swapped_profile())
    assert is_close(corner_colours(open_largest(render_bytes(data))), [(90, 90, 90)] * 4)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGBA", "AVIF")],
)
def test_colours_survive_every_mode(mode, kind):
    data = encode(make_quadrants().convert(mode), kind)
    assert is_close(corner_colours(open_largest(render_bytes(data))), corner_colours(make_quadrants()))


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "GIF"), ("L", "AVIF")]
)
def test_greys_survive_every_mode(mode, kind):
    image = Image.new("L", (400, 300), 0)
    image.paste(255, (200, 0, 400, 300))
    assert is_close(
        corner_colours(open_largest(render_bytes(encode(image.convert(mode), kind)))), [BLACK, WHITE, BLACK, WHITE]
    )


def test_ycck_jpeg_keeps_colours():
    # A CMYK file declared as YCCK, with the YCCK values of red, inverted as Adobe does.
    stored = Image.new("RGB", (1, 1), (0, 255, 255)).convert("YCbCr").getpixel((0, 0))
    image = Image.new("CMYK", (300, 300), (*(255 - value for value in stored), 0))
    data = encode(image, "JPEG", quality=95)
    adobe = data.index(b"Adobe") + 11
    assert data[adobe] == 0
    assert is_close(corner_colours(open_largest(render_bytes(data[:adobe] + b"\x02" + data[adobe + 1 :]))), [RED] * 4)


def test_16_bit_greys_are_not_clipped():
    row = b"\0" + b"".join(struct.pack(">H", x * 65535 // 299) for x in range(300))
    image = open_largest(render_bytes(make_png(300, 200, 16, 0, row * 200))).convert("L")
    assert all(abs(image.getpixel((x, 50)) - x * 255 / 249) < 12 for x in range(0, 250, 10))


def test_16_bit_colours_are_kept():
    row = b"\0" + struct.pack(">HHHH", 0xC000, 0x4000, 0x8000, 0xFFFF) * 300
    image = open_largest(render_bytes(make_png(300, 300, 16, 6, row * 300))).convert("RGB")
    assert is_close(corner_colours(image), [(0xC0, 0x40, 0x80)] * 4)


@pytest.mark.parametrize(
    ("depth", "colour_type", "clear", "solid", "key"),
    [
        (1, 0, b"\x00", b"\xff", struct.pack(">H", 0)),
        (2, 0, b"\x55", b"\xff", struct.pack(">H", 1)),
        (4, 0, b"\x11", b"\xff", struct.pack(">H", 1)),
        (8, 0, b"\x11", b"\xff", struct.pack(">H", 0x11)),
        (16, 0, b"\x12\x34", b"\xff\xff", struct.pack(">H", 0x1234)),
        (8, 2, b"\x11\x22\x33", b"\xff\xff\xff", struct.pack(">3H", 0x11, 0x22, 0x33)),
        (16, 2, b"\x11\x22\x33\x44\x55\x66", b"\xff" * 6, b"\x11\x22\x33\x44\x55\x66"),
    ],
)
def test_png_transparent_colour_is_kept(depth, colour_type, clear, solid, key):
    bits = depth * (3 if colour_type else 1)
    half = 100 * bits // 8 // len(clear) if bits >= 8 else 100 * bits // 8
    row = b"\0" + (clear * half)[: 100 * bits // 8] + (solid * half)[: 100 * bits // 8]
    width = (len(row) - 1) * 8 // bits
    alpha = open_largest(
        render_bytes(make_png(width, 100, depth, colour_type, row * 100, png_chunk(b"tRNS", key)))
    ).getchannel("A")
    assert alpha.getpixel((10, 10)) == 0
    assert alpha.getpixel((alpha.width - 10, 10)) == 255


def test_palette_transparency_is_kept():
    image = Image.new("P", (300, 300))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.paste(1, (150, 0, 300, 300))
    translucent = open_largest(render_bytes(encode(image, "PNG", transparency=b"\x80")))
    assert is_close([translucent.getpixel((60, 60)), translucent.getpixel((240, 60))], [(*RED, 128), (*GREEN, 255)])
    for kind in ("PNG", "GIF"):
        keyed = open_largest(render_bytes(encode(image, kind, transparency=0)))
        assert [keyed.getpixel((x, 60))[3] for x in (60, 240)] == [0, 255]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_alpha_channel_is_kept(kind):
    image = make_quadrants().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 200, 150))
    result = open_largest(render_bytes(encode(image, kind)))
    assert [result.getpixel(point)[3] for point in ((30, 30), (220, 30), (30, 160))] == [0, 255, 255]


def test_transparent_pixels_do_not_bleed_into_edges():
    image = Image.new("RGBA", (1000, 1000), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 501, 1000))
    result = Image.new("RGBA", (250, 250), BLACK)
    result.alpha_composite(open_largest(render_bytes(encode(image, "PNG"))))
    assert result.convert("RGB").getchannel("G").getextrema()[1] < 32


# Rejected files


@pytest.mark.parametrize(
    "data",
    [
        b"plain text",
        b"<html><img src=x></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"PK\x03\x04zip",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"RIFF\x04\0\0\0WAVE",
        encode(Image.new("RGB", (9, 9)), "BMP"),
        encode(Image.new("RGB", (9, 9)), "TIFF"),
        encode(Image.new("RGB", (32, 32)), "ICO"),
        encode(Image.new("RGB", (9, 9)), "PPM"),
    ],
)
def test_unsupported_format_error_lists_supported_formats(data):
    with pytest.raises(InvalidImage, match=r"Unsupported image format.*JPEG, PNG, WebP, GIF, AVIF or HEIC"):
        render_bytes(data)


def test_empty_file_is_rejected():
    with pytest.raises(InvalidImage, match=r"^The file is empty"):
        render_bytes(b"")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("kept_fraction", [0.05, 0.5, 0.95])
def test_truncated_picture_is_rejected(photo, kind, kept_fraction):
    data = encode(photo, kind)
    with pytest.raises(InvalidImage, match="corrupt or incomplete"):
        render_bytes(data[: int(len(data) * kept_fraction)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_picture_without_last_byte_is_rejected(photo, kind):
    with pytest.raises(InvalidImage, match="corrupt or incomplete"):
        render_bytes(encode(photo, kind)[:-1])


def test_progressive_jpeg_without_last_scans_is_rejected(progressive_jpeg):
    with pytest.raises(InvalidImage, match="corrupt or incomplete"):
        render_bytes(progressive_jpeg[: progressive_jpeg.rindex(b"\xff\xda") + 100])


SAMPLE_IMAGES = {
    "JPEG": encode(make_quadrants((120, 90)), "JPEG", exif=make_exif(6), icc_profile=make_swapped_profile()),
    "progressive JPEG": encode(make_quadrants((120, 90)), "JPEG", progressive=True),
    "CMYK JPEG": encode(make_quadrants((120, 90)).convert("CMYK"), "JPEG"),
    "PNG": encode(make_quadrants((120, 90)), "PNG", exif=make_exif(6), icc_profile=make_swapped_profile()),
    "palette PNG": encode(make_quadrants((120, 90)).quantize(8), "PNG", transparency=b"\x80\x40"),
    "GIF": encode(make_quadrants((120, 90)), "GIF", comment=b"hello"),
    "WebP": encode(make_quadrants((120, 90)), "WEBP", exif=make_exif(6), icc_profile=make_swapped_profile()),
    "lossless WebP": encode(make_quadrants((120, 90)).convert("RGBA"), "WEBP", lossless=True),
    "AVIF": encode(make_quadrants((120, 90)), "AVIF", exif=make_exif(6), icc_profile=make_swapped_profile()),
    "HEIC": encode(make_quadrants((120, 90)), "HEIF", exif=make_exif(6), icc_profile=make_swapped_profile()),
}


@pytest.mark.parametrize("name", SAMPLE_IMAGES)
def test_corrupt_bytes_raise_only_invalid_image(name):
    sample, rng = SAMPLE_IMAGES[name], random.Random(name)
    truncated = [sample[: len(sample) * part // 50] for part in range(50)]
    for data in truncated + [sample] * 150:
        data = bytearray(data)
        for _ in range(rng.choice((1, 2, 8)) if data else 0):
            at = rng.randrange(min(len(data), rng.choice((64, 1000, 1_000_000))))
            data[at : at + 1] = rng.choice((bytes([rng.randrange(256)]), b"\xff\xff\xff\xff", b"\0\0", b""))
            if not data:
                break
        with suppress(InvalidImage):
            render_bytes(bytes(data))


def test_error_messages_are_one_sentence_with_advice():
    texts = (
        decode.EMPTY,
        decode.UNKNOWN,
        decode.DAMAGED,
        decode.TOO_LARGE,
        decode.TOO_LONG,
    )
    for text in (*texts, decode.TOO_LARGE_AS, decode.TOO_COMPLEX):
        assert text.endswith(".")
        assert text.count(".") == 1
        assert "; " in text


# Decompression bombs, rejected before they are decoded


def make_oversized_images():
    small = Image.new("RGB", (16, 16))
    gif = encode(small, "GIF")
    image = gif.index(b"\x2c", 13 + (6 << (gif[10] & 7)))
    animation = encode(small, "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), RED)])
    return {
        "JPEG": set_jpeg_size(encode(small, "JPEG"), 10_000, 5001),
        "PNG": make_png(10_000, 5001, 8, 6, b"\0"),
        "PNG with a second header": insert_png_chunks(
            encode(small, "PNG"), png_chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 5001, 8, 6, 0, 0, 0))
        ),
        "GIF": gif[:6] + struct.pack("<HH", 10_000, 5001) + gif[10:],
        "GIF with a frame beyond its screen": gif[: image + 5] + struct.pack("<HH", 10_000, 5001) + gif[image + 9 :],
        "WebP": animation[:24] + b"\x0f\x27\0" + b"\x88\x13\0" + animation[30:],
        "AVIF": set_avif_size(encode(small, "AVIF"), (16, 16), (10_000, 5001)),
    }


@pytest.mark.parametrize("name", make_oversized_images())
def test_too_many_pixels_are_rejected_by_header(name):
    with pytest.raises(InvalidImage, match=r"at most \d\d megapixels"):
        render_bytes(make_oversized_images()[name])


def test_too_long_side_is_rejected():
    with pytest.raises(InvalidImage, match="at most 65535 pixels wide or high"):
        render_bytes(make_png(65_536, 1, 8, 0, bytes(65_537)))


@pytest.mark.parametrize(("kind", "name"), [("WEBP", "WebP"), ("AVIF", "AVIF"), ("HEIF", "HEIC")])
def test_formats_that_take_more_memory_have_lower_pixel_limits(kind, name, monkeypatch):
    assert decode.MAX_PIXELS_OF[kind] < decode.MAX_PIXELS
    monkeypatch.setitem(decode.MAX_PIXELS_OF, kind, 100 * 100)
    assert rendering.render(encode(Image.new("RGB", (100, 100)), kind)).width == 100
    with pytest.raises(InvalidImage, match=f"{name} images may have at most .* or send it as a JPEG"):
        rendering.render(encode(Image.new("RGB", (101, 100)), kind))


def test_progressive_jpeg_has_a_lower_limit_for_four_components():
    cmyk = encode(make_quadrants((64, 64)).convert("CMYK"), "JPEG", progressive=True)
    with pytest.raises(InvalidImage, match="Progressive JPEG images may have at most 37 megapixels"):
        render_bytes(set_jpeg_size(cmyk, 8000, 5000))


def make_avif_grid(tile_size, tiles_per_side, extents_per_tile=1):
    """Return an AVIF grid whose square tiles all use the same red picture."""

    def box(kind, content):
        return struct.pack(">I4s", len(content) + 8, kind) + content

    def full_box(kind, version, content, flags=0):
        return box(kind, struct.pack(">I", version << 24 | flags) + content)

    def item(number, kind):
        return full_box(b"infe", 2, struct.pack(">HH4sx", number, 0, kind), int(number > 1))

    data = encode(Image.new("RGB", (tile_size, tile_size), RED), "AVIF")
    at = data.index(b"av1C") - 4
    av1c = data[at : at + struct.unpack_from(">I", data, at)[0]]
    coded = data[data.index(b"mdat") + 4 :]
    count, side = tiles_per_side * tiles_per_side, tiles_per_side * tile_size
    tiles = range(2, count + 2)
    ftyp, mdat = box(b"ftyp", b"avif\0\0\0\0avifmif1miaf"), box(b"mdat", coded)
    size = len(coded) // extents_per_tile
    ranges = [
        (len(ftyp) + 8 + n * size, size if n < extents_per_tile - 1 else len(coded) - n * size)
        for n in range(extents_per_tile)
    ]
    location = struct.pack(">HHH", 0, 0, extents_per_tile) + b"".join(struct.pack(">II", *extent) for extent in ranges)
    properties = full_box(b"ispe", 0, struct.pack(">II", side, side))
    properties += full_box(b"ispe", 0, struct.pack(">II", tile_size, tile_size))
    properties += av1c + full_box(b"pixi", 0, b"\x03\x08\x08\x08")
    associations = struct.pack(">IHBBB", count + 1, 1, 2, 1, 4)
    associations += b"".join(struct.pack(">HBBBB", n, 3, 2, 0x83, 4) for n in tiles)
    meta = full_box(b"hdlr", 0, b"\0\0\0\0pict" + bytes(13))
    meta += full_box(b"pitm", 0, struct.pack(">H", 1))
    meta += full_box(
        b"iloc",
        1,
        struct.pack(">HHHHHHII", 0x4400, count + 1, 1, 1, 0, 1, 0, 8)
        + b"".join(struct.pack(">H", n) + location for n in tiles),
    )
    kinds = item(1, b"grid") + b"".join(item(n, b"av01") for n in tiles)
    meta += full_box(b"iinf", 0, struct.pack(">H", count + 1) + kinds)
    parts = struct.pack(f">HH{count}H", 1, count, *tiles)
    meta += full_box(b"iref", 0, box(b"dimg", parts))
    meta += box(b"iprp", box(b"ipco", properties) + full_box(b"ipma", 0, associations))
    meta += box(b"idat", bytes((0, 0, tiles_per_side - 1, tiles_per_side - 1)) + struct.pack(">HH", side, side))
    return ftyp + mdat + full_box(b"meta", 0, meta)


def test_avif_grid_is_rendered():
    rendering = render_bytes(make_avif_grid(128, 2))
    assert open_largest(rendering).size == (250, 250)
    assert is_close(corner_colours(open_largest(rendering)), [RED] * 4)


def test_avif_item_with_several_extents_is_rendered():
    rendering = render_bytes(make_avif_grid(128, 1, extents_per_tile=2))
    assert is_close(corner_colours(open_largest(rendering)), [RED] * 4)


def repeat_last_scan(jpeg_file, count):
    """Repeat the last scan of a JPEG until it has this many scans."""
    last = jpeg_file[jpeg_file.rindex(b"\xff\xda") : -2]
    return jpeg_file[:-2] + last * (count - jpeg_file.count(b"\xff\xda")) + jpeg_file[-2:]


def test_scan_markers_outside_picture_are_ignored():
    data = encode(make_quadrants(), "JPEG")
    decoy = b"\xff\xda" * 1000
    assert render_bytes(insert_jpeg_segments(data, jpeg_segment(0xE1, decoy)) + decoy) == render_bytes(data)


def test_unsupported_kind_of_jpeg_is_named():
    data = encode(make_quadrants(), "JPEG")
    with pytest.raises(InvalidImage, match="This kind of JPEG can't be read; save it as a baseline JPEG"):
        render_bytes(data.replace(b"\xff\xc0", b"\xff\xc5", 1))


def test_reserved_marker_in_coded_data_of_jpeg_hides_nothing(photo):
    data = encode(photo, "JPEG")
    scan = data.index(b"\xff\xda")
    at = data.index(b"\xff\0", scan + len(data[scan:]) // 8)
    stray = data[:at] + b"\xff\x02" + data[at + 2 :]
    try:
        rendering = render_bytes(stray)
    except InvalidImage:
        return  # the rest is not there to be shown
    difference = ImageChops.difference(open_largest(rendering).convert("RGB"), photo.resize((250, 250)))
    assert max(ImageStat.Stat(difference).mean) < 20


def test_decompression_bombs_in_png_chunks_are_bounded():
    bomb = zlib.compress(bytes(64 << 20))
    data = SAMPLE_IMAGES["PNG"]
    texts = png_chunk(b"zTXt", b"a\0\0" + bomb) * 100
    profile = png_chunk(b"iCCP", b"a\0\0" + zlib.compress(make_swapped_profile()))
    plain = encode(make_quadrants(), "PNG")
    assert render_bytes(insert_png_chunks(plain, profile, texts)) == render_bytes(insert_png_chunks(plain, profile))
    assert render_bytes(insert_png_chunks(data, texts)) == render_bytes(data)


def megabytes(process, name):
    """Return a value of proc_pid_status(5)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(name))


@pytest.mark.system
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to measure memory")
@pytest.mark.parametrize("name", ["PNG", "palette PNG", "JPEG", "WebP", "AVIF", "HEIC"])
def test_largest_picture_is_rendered_in_400_mb(name, tmp_path):
    path = tmp_path / "largest"
    if name == "PNG":
        path.write_bytes(make_png(8192, 6100, 8, 6, bytes(8192 * 4 + 1) * 6100))
    elif name == "palette PNG":
        palette = png_chunk(b"PLTE", bytes(768)), png_chunk(b"tRNS", bytes(256))
        path.write_bytes(make_png(8192, 6100, 8, 3, bytes(8193) * 6100, *palette))
    elif name == "JPEG":
        # A small picture with a large size in its header: missing data is decoded as grey.
        small = encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True, subsampling=0)
        path.write_bytes(set_jpeg_size(small, 8192, 6100))
    elif name == "WebP":
        Image.new("RGBA", (5000, 4000), (1, 2, 3, 128)).save(path, "WEBP", lossless=True, method=0, quality=0)
    elif name == "AVIF":
        Image.new("RGBA", (5000, 4000), (1, 2, 3, 128)).save(path, "AVIF", speed=10, subsampling="4:4:4")
    else:
        Image.new("RGB", (5712, 4284), (1, 2, 3)).save(path, "HEIF")
    fresh = Decoder()
    fresh.render((PHOTOS / "chelsea.png").read_bytes())
    idle = megabytes(fresh.process, "VmRSS")
    fresh.render(path.read_bytes())
    peak = megabytes(fresh.process, "VmHWM")
    fresh.stop()
    assert peak - idle < 400


def test_rendering_is_thread_safe():
    photos = [(PHOTOS / name).read_bytes() for name in ("grace_hopper.jpg", "astronaut.jpg", "chelsea.png")]
    photos += [SAMPLE_IMAGES["AVIF"], SAMPLE_IMAGES["WebP"], SAMPLE_IMAGES["GIF"]]
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(render_bytes, photos * 8))
    assert results == [render_bytes(photo) for photo in photos] * 8


# The decoder process


def send_to_new_decoder(data):
    """Render with a decoder process of its own, and require that the next upload is unaffected."""
    fresh = Decoder()
    try:
        fresh.render(data)
    finally:
        assert fresh.render((PHOTOS / "chelsea.png").read_bytes()).width == 125
        fresh.stop()


@pytest.fixture
def patched_process(monkeypatch, tmp_path):
    """Return a function that runs this code in each decoder process, when it starts."""

    def patch(code):
        (tmp_path / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return patch


@pytest.mark.parametrize(
    "crash",
    [
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "os._exit(0)",
        "bytearray(1 << 40)",
        "[bytearray(1 << 20) for _ in iter(int, 1)]",
    ],
)
def test_crash_of_decoder_rejects_only_that_upload(patched_process, crash):
    marker = b"GIF89a crash"
    patched_process(f"""
import os, signal
import PIL.Image

plain_open = PIL.Image.open

def open_or_crash(file, **options):
    if file.getvalue() == {marker!r}:
        {crash}
    return plain_open(file, **options)

PIL.Image.open = open_or_crash
""")
    with pytest.raises(InvalidImage, match="too much memory or time"):
        send_to_new_decoder(marker)


def test_endless_decoding_is_ended(patched_process):
    patched_process("""
import PIL.Image
from itertools import count

plain_open = PIL.Image.open
PIL.Image.open = lambda file, **options: plain_open(file, **options) if len(file.getvalue()) > 99 else max(count())
""")
    with pytest.raises(InvalidImage, match="too much memory or time"):
        send_to_new_decoder(b"GIF89a endless")


def test_hanging_decoder_is_killed_at_the_deadline(patched_process, monkeypatch):
    monkeypatch.setattr("api.pictures.decoder.DEADLINE_SECONDS", 0.5)
    patched_process("""
import PIL.Image, time

plain_open = PIL.Image.open
PIL.Image.open = lambda file, **options: plain_open(file, **options) if len(file.getvalue()) > 99 else time.sleep(99)
""")
    with pytest.raises(InvalidImage, match="too much memory or time"):
        send_to_new_decoder(b"GIF89a hanging")


def test_killed_idle_decoder_is_started_again():
    fresh = Decoder()
    photo = (PHOTOS / "chelsea.png").read_bytes()
    before = fresh.render(photo)
    fresh.process.kill()
    fresh.process.wait()

    assert fresh.render(photo) == before
    fresh.stop()


def test_decoder_gets_no_settings(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "swordfish")
    fresh = Decoder()
    fresh.render((PHOTOS / "chelsea.png").read_bytes())
    environment = Path(f"/proc/{fresh.process.pid}/environ").read_bytes()
    fresh.stop()

    assert b"swordfish" not in environment


def test_decoder_ends_with_its_parent():
    script = """
import os
from api.pictures.decoder import decoder

decoder.connect()
print(decoder.process.pid, flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    wait_until(lambda: not Path(f"/proc/{int(done.stdout)}").exists(), "end of the decoder process")


# Default pictures

NAMES = (
    "rex",
    "Éric",
    "七海",
    "محمد",
    "🐶",
    "👨‍👩‍👧",
    "ß",
    "_",
    "",
    "\u0301",
    "Ω",
    "7of9",
    "ﬁ",
    "İpek",
    "x" * 500,
    "\ud800",
)


@pytest.mark.parametrize("name", NAMES)
def test_default_picture_has_both_sizes_for_any_name(name):
    drawing = render_avatar(name)
    assert (drawing.width, drawing.height) == (125, 175)
    assert Image.open(BytesIO(drawing.normal)).size == (125, 175)
    assert Image.open(BytesIO(drawing.double)).size == (250, 350)


@pytest.mark.system
def test_default_picture_is_deterministic_across_processes():
    script = (
        "import hashlib; from api.pictures.default import render_avatar;"
        "print(hashlib.sha256(render_avatar('rex').double).hexdigest())"
    )
    expected = hashlib.sha256(render_avatar("rex").double).hexdigest()
    for seed in ("1", "2"):
        process = subprocess.run(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        )
        assert process.stdout.strip() == expected


def render_shape(name, monkeypatch):
    monkeypatch.setattr(default, "COLOURS", ("black",))
    return render_avatar(name).double


def test_default_picture_initial_ignores_accents(monkeypatch):
    assert len({render_shape(name, monkeypatch) for name in ("Éric", "eric", "_Emma", "Ｅｖｅ")}) == 1


def test_default_picture_initial_or_paw(monkeypatch):
    letters = {render_shape(name, monkeypatch) for name in "abcdefghijklmnopqrstuvwxyz0123456789"}
    paws = {render_shape(name, monkeypatch) for name in ("七海", "محمد", "🐶", "", "Ω", "Жук")}
    assert len(letters) == 36
    assert len(paws) == 1
    assert letters.isdisjoint(paws)


def luminance(colour):
    """Return the relative luminance as defined by WCAG 2.2."""
    parts = [level / 255 for level in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_default_picture_colours_have_enough_contrast():
    backgrounds = set()
    for number in range(50):
        image = open_largest(render_avatar(f"{number}")).convert("RGB")
        backgrounds.add(image.getpixel((0, 0)))
        assert WHITE in {colour for _, colour in image.getcolors(100_000)}
    assert len(backgrounds) > 8
    assert backgrounds <= {ImageColor.getrgb(colour) for colour in default.COLOURS}
    assert all(1.05 / (luminance(ImageColor.getrgb(colour)) + 0.05) >= 4.5 for colour in default.COLOURS)
