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

import pytest
from PIL import Image, ImageChops, ImageCms, ImageColor, ImageOps, ImageStat

from api.pictures import avif, decode, default
from api.pictures import render as rendering
from api.pictures.default import render_avatar
from api.pictures.render import InvalidImage, render


@pytest.fixture(autouse=True)
def no_check_by_pillow(monkeypatch):
    """As the application has it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)


PHOTOS = Path(__file__).parent / "photos"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")
ORIENTATION, GPS = 0x0112, 0x8825
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def encoded(image, kind, **options):
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rendered(data):
    return render(BytesIO(data))


def largest(rendering):
    return Image.open(BytesIO(rendering.double or rendering.normal))


def corners(image):
    """The colours a little inside of the four corners, row by row."""
    image = image.convert("RGB")
    x, y = image.width // 8, image.height // 8
    right, bottom = image.width - 1 - x, image.height - 1 - y
    return [image.getpixel(point) for point in ((x, y), (right, y), (x, bottom), (right, bottom))]


def is_like(colours, expected, tolerance=24):
    pairs = zip(colours, expected, strict=True)
    return all(abs(a - b) <= tolerance for one, other in pairs for a, b in zip(one, other, strict=True))


def four_colours(size=(400, 300)):
    image = Image.new("RGB", size, RED)
    half = size[0] // 2, size[1] // 2
    image.paste(GREEN, (half[0], 0, size[0], half[1]))
    image.paste(BLUE, (0, half[1], half[0], size[1]))
    image.paste(WHITE, (*half, *size))
    return image


def chunk(kind, content):
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, colour_type, rows, *extra):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows, 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + pixels + chunk(b"IEND", b"")


def after_header(png_file, *chunks):
    return png_file[:33] + b"".join(chunks) + png_file[33:]


def segment(kind, content):
    return bytes((0xFF, kind)) + struct.pack(">H", len(content) + 2) + content


def after_start(jpeg_file, *segments):
    return jpeg_file[:2] + b"".join(segments) + jpeg_file[2:]


def with_jpeg_size(jpeg_file, width, height):
    at = max(jpeg_file.find(b"\xff\xc0"), jpeg_file.find(b"\xff\xc2")) + 5
    return jpeg_file[:at] + struct.pack(">HH", height, width) + jpeg_file[at + 4 :]


def with_avif_size(avif_file, old, new):
    ispe = b"ispe\0\0\0\0"
    assert ispe + struct.pack(">II", *old) in avif_file
    return avif_file.replace(ispe + struct.pack(">II", *old), ispe + struct.pack(">II", *new))


def exif_of(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def swapped_profile():
    """A profile in which red and green have changed places."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"####").replace(b"gXYZ", b"rXYZ").replace(b"####", b"gXYZ")


@pytest.fixture(scope="module")
def photo():
    with Image.open(PHOTOS / "astronaut.jpg") as image:
        return image.convert("RGB")


# What is taken, and its size


@pytest.mark.parametrize("kind", FORMATS)
def test_takes_each_format(photo, kind):
    rendering = rendered(encoded(photo, kind))
    assert (rendering.width, rendering.height) == (125, 125)
    small = photo.resize((250, 250))
    difference = ImageChops.difference(largest(rendering).convert("RGB"), small)
    assert max(ImageStat.Stat(difference).mean) < 8


@pytest.mark.parametrize(
    ("name", "normal", "double"),
    [
        ("grace_hopper.jpg", (125, 146), (250, 293)),
        ("astronaut.jpg", (125, 125), (250, 250)),
        ("chelsea.png", (125, 83), (250, 166)),
    ],
)
def test_fits_photos_into_both_sizes(name, normal, double):
    with (PHOTOS / name).open("rb") as file:
        rendering = render(file)
    assert (rendering.width, rendering.height) == normal
    for data, size in ((rendering.normal, normal), (rendering.double, double)):
        image = Image.open(BytesIO(data))
        assert (image.format, image.size) == ("WEBP", size)


def test_reads_a_stream_from_its_start(photo):
    stream = BytesIO(encoded(photo, "PNG"))
    stream.read(100)
    assert render(stream).width == 125


def test_never_enlarges_and_leaves_out_a_double_that_shows_no_more():
    rendering = rendered(encoded(four_colours((100, 60)), "PNG"))
    assert (rendering.width, rendering.height, rendering.double) == (100, 60, None)
    assert Image.open(BytesIO(rendering.normal)).size == (100, 60)
    assert rendered(encoded(four_colours((125, 175)), "PNG")).double is None


def test_keeps_the_pixels_that_a_source_between_the_sizes_has():
    rendering = rendered(encoded(four_colours((200, 100)), "PNG"))
    assert (rendering.width, rendering.height) == (125, 62)
    assert largest(rendering).size == (200, 100)


@pytest.mark.parametrize(("size", "normal"), [((60_000, 1), (125, 1)), ((1, 60_000), (1, 175)), ((1, 1), (1, 1))])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_leaves_at_least_a_pixel_of_the_thinnest_picture(size, normal, kind):
    rendering = rendered(encoded(Image.new("L", size, 200), kind))
    assert (rendering.width, rendering.height) == normal
    assert is_like(corners(largest(rendering)), [(200, 200, 200)] * 4)


@pytest.mark.parametrize(
    ("size", "orientation"), [((801, 531), 1), ((1601, 1203), 3), ((3201, 2403), 1), ((3000, 2000), 6)]
)
def test_shrinks_a_jpeg_while_it_is_read_as_if_it_was_read_whole(photo, size, orientation, monkeypatch):
    encode_webp = rendering.encode_webp
    monkeypatch.setattr(rendering, "encode_webp", lambda picture, lossless: encode_webp(picture, True))
    picture = photo.resize(size, Image.Resampling.NEAREST)
    data = encoded(picture, "JPEG", quality=90, exif=exif_of(orientation))
    double = largest(rendered(data))
    whole = ImageOps.exif_transpose(Image.open(BytesIO(data))).resize(double.size, Image.Resampling.LANCZOS)
    assert max(ImageStat.Stat(ImageChops.difference(double, whole)).mean) < 1.2


def test_keeps_the_sharpness_of_a_jpeg_that_lies_on_its_side(monkeypatch):
    encode_webp = rendering.encode_webp
    monkeypatch.setattr(rendering, "encode_webp", lambda picture, lossless: encode_webp(picture, True))
    grain = Image.effect_noise((750, 500), 60).resize((3000, 2000), Image.Resampling.NEAREST)
    data = encoded(grain, "JPEG", exif=exif_of(6))
    double = largest(rendered(data))
    whole = ImageOps.exif_transpose(Image.open(BytesIO(data))).resize(double.size, Image.Resampling.LANCZOS)
    assert max(ImageStat.Stat(ImageChops.difference(double.convert("L"), whole)).mean) < 4


def test_shrinks_in_bands_as_if_at_once(photo, monkeypatch):
    data = encoded(photo.resize((1500, 1300)), "PNG", compress_level=1)
    at_once = rendered(data)
    monkeypatch.setattr(rendering, "BAND_PIXELS", 1500 * 17)
    assert rendered(data) == at_once


@pytest.fixture(scope="module")
def progressive(photo):
    return encoded(photo.resize((3200, 3200)), "JPEG", progressive=True, subsampling=0)


def test_shows_a_large_progressive_jpeg_as_it_is(photo, progressive):
    difference = ImageChops.difference(largest(rendered(progressive)), photo.resize((250, 250)))
    assert max(ImageStat.Stat(difference).mean) < 4


def test_decodes_no_more_of_a_large_progressive_jpeg_than_it_shows(progressive, monkeypatch):
    decoded, opened = [], decode.open_image
    monkeypatch.setattr(
        decode, "open_image", lambda kind, file: decoded.append(len(file.getvalue())) or opened(kind, file)
    )
    rendered(progressive)
    assert decoded[0] < len(progressive) / 2


# Upright


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
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
def test_turns_a_picture_upright(kind, orientation, upright):
    data = encoded(four_colours(), kind, exif=exif_of(orientation))
    rendering = rendered(data)
    assert is_like(corners(largest(rendering)), upright)
    assert (rendering.width, rendering.height) == ((125, 94) if orientation < 5 else (125, 167))


def test_turns_a_phone_photo_upright():
    rendering = rendered(encoded(four_colours((4000, 3000)), "JPEG", exif=exif_of(6)))
    assert largest(rendering).size == (250, 333)
    assert is_like(corners(largest(rendering)), [BLUE, RED, WHITE, GREEN])


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
def test_shows_a_picture_with_broken_exif_as_it_is(exif):
    plain = encoded(four_colours(), "JPEG")
    data = after_start(plain, segment(0xE1, b"Exif\0\0" + exif))
    assert rendered(data) == rendered(plain)


def test_finds_exif_behind_other_segments_of_its_kind():
    data = encoded(four_colours(), "JPEG", exif=exif_of(6))
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")
    assert rendered(after_start(data, xmp)) == rendered(data)


def test_shows_an_avif_with_broken_exif_as_it_is():
    exif = Image.Exif()
    exif[0x010E] = "description"
    data = encoded(four_colours(), "AVIF", exif=exif.tobytes())
    directory = exif.tobytes()[6:14]
    broken = data.replace(directory, directory[:4] + b"\x7f\x7f\x7f\x7f")
    assert broken != data
    assert rendered(broken) == rendered(data)


# First of several


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_shows_the_first_frame_of_an_animation(kind):
    data = encoded(
        Image.new("RGB", (300, 300), RED), kind, save_all=True, append_images=[Image.new("RGB", (300, 300), BLUE)]
    )
    assert is_like(corners(largest(rendered(data))), [RED] * 4)


def test_shows_the_picture_that_stands_for_an_avif_animation():
    red, blue = (Image.new("RGB", (300, 300), colour) for colour in (RED, BLUE))
    film, still = encoded(red, "AVIF", save_all=True, append_images=[red]), encoded(blue, "AVIF")
    coded = still[still.index(b"mdat") + 4 :]
    place = film.index(b"iloc") + 18
    film = film[:place] + struct.pack(">II", len(film) + 8, len(coded)) + film[place + 8 :]
    film += struct.pack(">I4s", len(coded) + 8, b"mdat") + coded
    assert is_like(corners(largest(rendered(film))), [BLUE] * 4)


def test_shows_the_first_of_the_two_pictures_of_a_phone():
    data = encoded(four_colours(), "MPO", save_all=True, append_images=[Image.new("RGB", (400, 300), BLACK)])
    assert rendered(data) == rendered(encoded(four_colours(), "JPEG"))


def test_is_not_misled_by_a_broken_list_of_pictures():
    mpf = b"MPF\0MM\0*\0\0\0\x08\0\x02" + struct.pack(">HHIIHHII", 0xB001, 4, 1, 9, 0xB002, 7, 99, 0xFFFFFF) + bytes(4)
    data = encoded(four_colours(), "JPEG")
    assert rendered(after_start(data, segment(0xE2, mpf))) == rendered(data)


def test_is_not_misled_by_broken_animation_chunks():
    data = encoded(four_colours(), "PNG")
    frames = chunk(b"acTL", struct.pack(">II", 0, 0))
    assert rendered(after_header(data, frames, frames)) == rendered(data)


# Nothing but the picture


@pytest.mark.parametrize("kind", FORMATS)
def test_leaves_out_every_block_of_metadata(photo, kind):
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    exif[0x010E] = "SECRET description"
    exif.get_ifd(GPS)[1] = "SECRET place"
    options = {"JPEG": {"comment": b"SECRET"}, "GIF": {"comment": b"SECRET"}}.get(kind, {})
    if kind != "GIF":
        options |= {"exif": exif.tobytes(), "icc_profile": swapped_profile(), "xmp": b"<x:xmpmeta>SECRET</x:xmpmeta>"}
    data = encoded(photo, kind, **options)
    if kind == "PNG":
        data = after_header(data, chunk(b"tEXt", b"Comment\0SECRET"))
    assert b"SECRET" in data
    rendering = rendered(data)
    for file in (rendering.normal, rendering.double):
        assert b"SECRET" not in file
        assert file[12:16] in (b"VP8 ", b"VP8L")
        assert set(Image.open(BytesIO(file)).info) <= {"loop", "background", "timestamp", "duration"}


# Colours


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_folds_a_colour_profile_into_srgb(kind):
    data = encoded(Image.new("RGB", (300, 300), (220, 40, 40)), kind, icc_profile=swapped_profile())
    assert is_like(corners(largest(rendered(data))), [(40, 220, 40)] * 4)


def test_folds_a_colour_profile_into_srgb_under_transparency():
    data = encoded(Image.new("RGBA", (300, 300), (220, 40, 40, 128)), "PNG", icc_profile=swapped_profile())
    image = largest(rendered(data))
    assert is_like([image.getpixel((50, 50))], [(40, 220, 40, 128)])


@pytest.mark.parametrize("profile", [b"nonsense", swapped_profile()[:200], swapped_profile()[:128] + bytes(400)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_ignores_a_broken_colour_profile(kind, profile):
    data = encoded(four_colours(), kind, icc_profile=profile)
    assert is_like(corners(largest(rendered(data))), corners(four_colours()))


def test_ignores_a_colour_profile_of_many_megabytes():
    profile = swapped_profile().ljust(decode.MAX_PROFILE + 1, b"\0")
    data = encoded(four_colours(), "WEBP", icc_profile=profile)
    assert rendered(data) == rendered(encoded(four_colours(), "WEBP"))


def test_folds_a_cmyk_profile_into_srgb():
    # The least that is a profile: a table by which cyan alone is pink (ICC.1:2022, 10.11).
    steps = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    white, black, pink = b"\xff\x80\x80", b"\0\x80\x80", b"\x99\xc8\x80"
    colours = white + black * 7 + pink + black * 7
    table = b"mft1\0\0\0\0\x04\x03\x02\0" + matrix + steps * 4 + colours + steps * 3
    header = bytes(8) + b"\x02\x20\0\0prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D) + bytes(48)
    profile = header + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table
    profile = struct.pack(">I", len(profile)) + profile[4:]
    data = encoded(Image.new("CMYK", (300, 300), (255, 0, 0, 0)), "JPEG", icc_profile=profile)
    assert is_like(corners(largest(rendered(data))), [(242, 68, 146)] * 4)


def test_ignores_a_colour_profile_of_another_kind_of_picture():
    data = encoded(Image.new("L", (300, 300), 90), "JPEG", icc_profile=swapped_profile())
    assert is_like(corners(largest(rendered(data))), [(90, 90, 90)] * 4)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGBA", "AVIF")],
)
def test_keeps_colours_of_any_mode(mode, kind):
    data = encoded(four_colours().convert(mode), kind)
    assert is_like(corners(largest(rendered(data))), corners(four_colours()))


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "GIF"), ("L", "AVIF")]
)
def test_keeps_greys_of_any_mode(mode, kind):
    image = Image.new("L", (400, 300), 0)
    image.paste(255, (200, 0, 400, 300))
    assert is_like(corners(largest(rendered(encoded(image.convert(mode), kind)))), [BLACK, WHITE, BLACK, WHITE])


def test_keeps_colours_of_a_ycck_jpeg():
    # A CMYK file that is declared as YCCK, with the values that mean red there, inverted as Adobe does.
    stored = Image.new("RGB", (1, 1), (0, 255, 255)).convert("YCbCr").getpixel((0, 0))
    image = Image.new("CMYK", (300, 300), (*(255 - value for value in stored), 0))
    data = encoded(image, "JPEG", quality=95)
    adobe = data.index(b"Adobe") + 11
    assert data[adobe] == 0
    assert is_like(corners(largest(rendered(data[:adobe] + b"\x02" + data[adobe + 1 :]))), [RED] * 4)


def test_does_not_clip_sixteen_bit_greys():
    row = b"\0" + b"".join(struct.pack(">H", x * 65535 // 299) for x in range(300))
    image = largest(rendered(png(300, 200, 16, 0, row * 200))).convert("L")
    assert all(abs(image.getpixel((x, 50)) - x * 255 / 249) < 12 for x in range(0, 250, 10))


def test_keeps_colours_of_sixteen_bits():
    row = b"\0" + struct.pack(">HHHH", 0xC000, 0x4000, 0x8000, 0xFFFF) * 300
    image = largest(rendered(png(300, 300, 16, 6, row * 300))).convert("RGB")
    assert is_like(corners(image), [(0xC0, 0x40, 0x80)] * 4)


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
def test_keeps_the_one_transparent_colour_of_a_png(depth, colour_type, clear, solid, key):
    bits = depth * (3 if colour_type else 1)
    half = 100 * bits // 8 // len(clear) if bits >= 8 else 100 * bits // 8
    row = b"\0" + (clear * half)[: 100 * bits // 8] + (solid * half)[: 100 * bits // 8]
    width = (len(row) - 1) * 8 // bits
    alpha = largest(rendered(png(width, 100, depth, colour_type, row * 100, chunk(b"tRNS", key)))).getchannel("A")
    assert alpha.getpixel((10, 10)) == 0
    assert alpha.getpixel((alpha.width - 10, 10)) == 255


def test_keeps_the_transparency_of_a_palette():
    image = Image.new("P", (300, 300))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.paste(1, (150, 0, 300, 300))
    some = largest(rendered(encoded(image, "PNG", transparency=b"\x80")))
    assert is_like([some.getpixel((60, 60)), some.getpixel((240, 60))], [(*RED, 128), (*GREEN, 255)])
    for kind in ("PNG", "GIF"):
        one = largest(rendered(encoded(image, kind, transparency=0)))
        assert [one.getpixel((x, 60))[3] for x in (60, 240)] == [0, 255]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_keeps_transparency(kind):
    image = four_colours().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 200, 150))
    result = largest(rendered(encoded(image, kind)))
    assert [result.getpixel(point)[3] for point in ((30, 30), (220, 30), (30, 160))] == [0, 255, 255]


def test_shows_no_fringe_of_what_is_transparent():
    image = Image.new("RGBA", (1000, 1000), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 501, 1000))
    result = Image.new("RGBA", (250, 250), BLACK)
    result.alpha_composite(largest(rendered(encoded(image, "PNG"))))
    assert result.convert("RGB").getchannel("G").getextrema()[1] < 32


# What is refused


@pytest.mark.parametrize(
    "data",
    [
        b"plain text",
        b"<html><img src=x></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"PK\x03\x04zip",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"RIFF\x04\0\0\0WAVE",
        encoded(Image.new("RGB", (9, 9)), "BMP"),
        encoded(Image.new("RGB", (9, 9)), "TIFF"),
        encoded(Image.new("RGB", (32, 32)), "ICO"),
        encoded(Image.new("RGB", (9, 9)), "PPM"),
    ],
)
def test_refuses_what_is_no_picture_of_ours_and_names_those_that_are(data):
    with pytest.raises(InvalidImage, match=r"Unsupported image format.*JPEG, PNG, WebP, GIF or AVIF"):
        rendered(data)


def test_refuses_an_empty_file():
    with pytest.raises(InvalidImage, match=r"^The file is empty"):
        rendered(b"")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("left", [0.05, 0.5, 0.95])
def test_refuses_a_truncated_picture(photo, kind, left):
    data = encoded(photo, kind)
    with pytest.raises(InvalidImage, match="corrupt or incomplete"):
        rendered(data[: int(len(data) * left)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_refuses_a_picture_without_its_last_byte(photo, kind):
    with pytest.raises(InvalidImage, match="corrupt or incomplete"):
        rendered(encoded(photo, kind)[:-1])


def test_refuses_a_progressive_jpeg_whose_last_scans_are_missing(progressive):
    with pytest.raises(InvalidImage, match="corrupt or incomplete"):
        rendered(progressive[: progressive.rindex(b"\xff\xda") + 100])


SAMPLES = {
    "JPEG": encoded(four_colours((120, 90)), "JPEG", exif=exif_of(6), icc_profile=swapped_profile()),
    "progressive JPEG": encoded(four_colours((120, 90)), "JPEG", progressive=True),
    "CMYK JPEG": encoded(four_colours((120, 90)).convert("CMYK"), "JPEG"),
    "PNG": encoded(four_colours((120, 90)), "PNG", exif=exif_of(6), icc_profile=swapped_profile()),
    "palette PNG": encoded(four_colours((120, 90)).quantize(8), "PNG", transparency=b"\x80\x40"),
    "GIF": encoded(four_colours((120, 90)), "GIF", comment=b"hello"),
    "WebP": encoded(four_colours((120, 90)), "WEBP", exif=exif_of(6), icc_profile=swapped_profile()),
    "lossless WebP": encoded(four_colours((120, 90)).convert("RGBA"), "WEBP", lossless=True),
    "AVIF": encoded(four_colours((120, 90)), "AVIF", exif=exif_of(6), icc_profile=swapped_profile()),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_raises_nothing_but_bad_picture_for_broken_bytes(name):
    sample, dice = SAMPLES[name], random.Random(name)
    cut = [sample[: len(sample) * part // 50] for part in range(50)]
    for data in cut + [sample] * 150:
        data = bytearray(data)
        for _ in range(dice.choice((1, 2, 8)) if data else 0):
            at = dice.randrange(min(len(data), dice.choice((64, 1000, 1_000_000))))
            data[at : at + 1] = dice.choice((bytes([dice.randrange(256)]), b"\xff\xff\xff\xff", b"\0\0", b""))
            if not data:
                break
        with suppress(InvalidImage):
            rendered(bytes(data))


def test_tells_a_person_what_to_do_in_one_sentence():
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


# Bombs, refused before they go off


def too_large():
    small = Image.new("RGB", (16, 16))
    gif = encoded(small, "GIF")
    image = gif.index(b"\x2c", 13 + (6 << (gif[10] & 7)))
    animation = encoded(small, "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), RED)])
    return {
        "JPEG": with_jpeg_size(encoded(small, "JPEG"), 10_000, 5001),
        "PNG": png(10_000, 5001, 8, 6, b"\0"),
        "PNG with a second header": after_header(
            encoded(small, "PNG"), chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 5001, 8, 6, 0, 0, 0))
        ),
        "GIF": gif[:6] + struct.pack("<HH", 10_000, 5001) + gif[10:],
        "GIF with a frame beyond its screen": gif[: image + 5] + struct.pack("<HH", 10_000, 5001) + gif[image + 9 :],
        "WebP": animation[:24] + b"\x0f\x27\0" + b"\x88\x13\0" + animation[30:],
        "AVIF": with_avif_size(encoded(small, "AVIF"), (16, 16), (10_000, 5001)),
    }


@pytest.mark.parametrize("name", too_large())
def test_refuses_too_many_pixels_by_the_header(name):
    with pytest.raises(InvalidImage, match=r"at most \d\d megapixels"):
        rendered(too_large()[name])


def test_refuses_too_long_a_side():
    with pytest.raises(InvalidImage, match="at most 65535 pixels wide or high"):
        rendered(png(65_536, 1, 8, 0, bytes(65_537)))


@pytest.mark.parametrize(("kind", "limit"), [("WEBP", "MAX_WEBP_PIXELS"), ("AVIF", "MAX_AVIF_PIXELS")])
def test_takes_fewer_pixels_where_the_decoder_needs_more_memory(kind, limit, monkeypatch):
    assert getattr(decode, limit) < decode.MAX_PIXELS
    monkeypatch.setattr(decode, limit, 100 * 100)
    assert rendered(encoded(Image.new("RGB", (100, 100)), kind)).width == 100
    with pytest.raises(InvalidImage, match=r"(WebP|AVIF) images may have at most .* or send it as a JPEG"):
        rendered(encoded(Image.new("RGB", (101, 100)), kind))


def test_refuses_an_avif_frame_that_is_larger_than_it_is_declared():
    data = with_avif_size(encoded(Image.new("RGB", (512, 512)), "AVIF"), (512, 512), (64, 64))
    with Image.open(BytesIO(data)) as image:
        image.load()  # The decoder sees nothing wrong.
    with pytest.raises(InvalidImage, match="corrupt"):
        rendered(data)


def avif_grid(tile_size, across, pieces=1):
    """A square of tiles that all are one red picture of their size."""

    def box(kind, content):
        return struct.pack(">I4s", len(content) + 8, kind) + content

    def full_box(kind, version, content, flags=0):
        return box(kind, struct.pack(">I", version << 24 | flags) + content)

    def item(number, kind):
        return full_box(b"infe", 2, struct.pack(">HH4sx", number, 0, kind), int(number > 1))

    data = encoded(Image.new("RGB", (tile_size, tile_size), RED), "AVIF")
    at = data.index(b"av1C") - 4
    av1c = data[at : at + struct.unpack_from(">I", data, at)[0]]
    coded = data[data.index(b"mdat") + 4 :]
    count, side = across * across, across * tile_size
    tiles = range(2, count + 2)
    ftyp, mdat = box(b"ftyp", b"avif\0\0\0\0avifmif1miaf"), box(b"mdat", coded)
    size = len(coded) // pieces
    extents = [(len(ftyp) + 8 + n * size, size if n < pieces - 1 else len(coded) - n * size) for n in range(pieces)]
    place = struct.pack(">HHH", 0, 0, pieces) + b"".join(struct.pack(">II", *extent) for extent in extents)
    properties = full_box(b"ispe", 0, struct.pack(">II", side, side))
    properties += full_box(b"ispe", 0, struct.pack(">II", tile_size, tile_size))
    properties += av1c + full_box(b"pixi", 0, b"\x03\x08\x08\x08")
    uses = struct.pack(">IHBBB", count + 1, 1, 2, 1, 4)
    uses += b"".join(struct.pack(">HBBBB", n, 3, 2, 0x83, 4) for n in tiles)
    meta = full_box(b"hdlr", 0, b"\0\0\0\0pict" + bytes(13))
    meta += full_box(b"pitm", 0, struct.pack(">H", 1))
    meta += full_box(
        b"iloc",
        1,
        struct.pack(">HHHHHHII", 0x4400, count + 1, 1, 1, 0, 1, 0, 8)
        + b"".join(struct.pack(">H", n) + place for n in tiles),
    )
    kinds = item(1, b"grid") + b"".join(item(n, b"av01") for n in tiles)
    meta += full_box(b"iinf", 0, struct.pack(">H", count + 1) + kinds)
    parts = struct.pack(f">HH{count}H", 1, count, *tiles)
    meta += full_box(b"iref", 0, box(b"dimg", parts))
    meta += box(b"iprp", box(b"ipco", properties) + full_box(b"ipma", 0, uses))
    meta += box(b"idat", bytes((0, 0, across - 1, across - 1)) + struct.pack(">HH", side, side))
    return ftyp + mdat + full_box(b"meta", 0, meta)


def test_shows_an_avif_that_is_a_grid():
    rendering = rendered(avif_grid(128, 2))
    assert largest(rendering).size == (250, 250)
    assert is_like(corners(largest(rendering)), [RED] * 4)


def test_refuses_an_avif_grid_whose_tiles_are_far_larger_than_declared(monkeypatch):
    monkeypatch.setattr(decode, "MAX_AVIF_PIXELS", 512 * 512)
    data = with_avif_size(with_avif_size(avif_grid(128, 4), (128, 128), (64, 64)), (512, 512), (256, 256))
    data = data.replace(struct.pack(">HH", 512, 512), struct.pack(">HH", 256, 256))
    assert rendered(data).width == 125
    monkeypatch.setattr(decode, "MAX_AVIF_PIXELS", 256 * 256)
    with pytest.raises(InvalidImage, match="corrupt"):
        rendered(data)


def test_refuses_an_avif_picture_in_pieces():
    with pytest.raises(InvalidImage, match="corrupt"):
        rendered(avif_grid(128, 1, pieces=2))


def test_reads_the_frame_size_of_every_kind_of_av1_header():
    for options in ({}, {"subsampling": "4:4:4"}, {"speed": 10}, {"quality": 100}):
        data = encoded(four_colours((400, 300)), "AVIF", **options)
        assert max(map(avif.largest_frame, avif.items(data))) == 400 * 300
    large = Image.new("RGB", (2400, 1600))
    film = encoded(large, "AVIF", save_all=True, append_images=[large], speed=10)
    assert max(map(avif.largest_frame, avif.items(film))) == 2400 * 1600


def scans(jpeg_file, count):
    """The file with its last scan repeated, up to so many."""
    last = jpeg_file[jpeg_file.rindex(b"\xff\xda") : -2]
    return jpeg_file[:-2] + last * (count - jpeg_file.count(b"\xff\xda")) + jpeg_file[-2:]


def test_refuses_a_jpeg_of_very_many_scans():
    data = encoded(four_colours(), "JPEG", progressive=True)
    assert rendered(scans(data, decode.MAX_SCANS)).width == 125
    with pytest.raises(InvalidImage, match="not progressive"):
        rendered(scans(data, decode.MAX_SCANS + 1))


def test_counts_no_scans_outside_of_the_first_picture():
    data = encoded(four_colours(), "JPEG")
    decoy = b"\xff\xda" * 1000
    assert rendered(after_start(data, segment(0xE1, decoy)) + decoy) == rendered(data)


def test_counts_scans_behind_a_decoy_of_an_end():
    data = scans(encoded(four_colours(), "JPEG", progressive=True), 100)
    first = data.index(b"\xff\xda")
    decoy = segment(0xFE, b"\xff\xd9")
    with pytest.raises(InvalidImage, match="not progressive"):
        rendered(data[:first] + decoy + data[first:])


@pytest.mark.parametrize("progressive", [True, False])
def test_refuses_a_jpeg_that_must_be_kept_whole_while_it_is_read(progressive):
    cmyk = four_colours((64, 64)).convert("CMYK")
    data = with_jpeg_size(encoded(cmyk, "JPEG", progressive=progressive), 8000, 5000)
    scan = data.index(b"\xff\xda") + 4
    with pytest.raises(InvalidImage, match="too much memory"):
        rendered(data[:scan] + b"\x01" + data[scan + 1 :])


@pytest.mark.parametrize("kind", [0xC3, 0xC9, 0xCA])
def test_refuses_kinds_of_jpeg_that_browsers_do_not_show(kind):
    data = encoded(four_colours(), "JPEG")
    with pytest.raises(InvalidImage, match="corrupt"):
        rendered(data.replace(b"\xff\xc0", bytes((0xFF, kind)), 1))


def broken_up():
    """Pictures in order, but for how many parts there are."""
    many = 2 * decode.MAX_PARTS
    still, gif = SAMPLES["AVIF"], SAMPLES["GIF"]
    palette, place = 13 + (6 << (gif[10] & 7)), still.index(b"iloc") + 18
    padding = b"\x7a\0" * many
    item = padding + still[struct.unpack_from(">I", still, place)[0] :]
    moved = still[:place] + struct.pack(">II", len(still) + 8, len(item)) + still[place + 8 :]
    return {
        "JPEG": after_start(SAMPLES["JPEG"], segment(0xFE, b"") * many),
        "PNG": after_header(SAMPLES["PNG"], chunk(b"tEXt", b"") * many),
        "GIF": gif[:palette] + b"!\xfe\0" * (decode.MAX_GIF_HEAD // 3) + gif[palette:],
        "AVIF": still + struct.pack(">I4s", 8, b"free") * many,
        "AV1": moved + struct.pack(">I4s", len(item) + 8, b"mdat") + item,
    }


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "AVIF", "AV1"])
def test_refuses_a_picture_of_very_many_parts(name, monkeypatch):
    data = broken_up()[name]
    with pytest.raises(InvalidImage, match="corrupt"):
        rendered(data)
    monkeypatch.setattr(decode, "MAX_PARTS", 10**6)
    monkeypatch.setattr(avif, "MAX_PARTS", 10**6)
    monkeypatch.setattr(decode, "MAX_GIF_HEAD", 10**7)
    assert rendered(data).double is None


def test_refuses_an_avif_of_very_many_items():
    items = b"".join(struct.pack(">HHHII", n, 0, 1, 0, 1) for n in range(decode.MAX_PARTS + 1))
    iloc = struct.pack(">I4sIHH", 16 + len(items), b"iloc", 0, 0x4400, decode.MAX_PARTS + 1) + items
    meta = struct.pack(">I4sI", 12 + len(iloc), b"meta", 0) + iloc
    with pytest.raises(ValueError, match="cannot read"):
        list(avif.items(meta))


def test_unpacks_no_compressed_text_and_one_profile_only_so_far():
    bomb = zlib.compress(bytes(64 << 20))
    assert len(decode.decompress_icc(bomb)) == decode.MAX_PROFILE
    data = SAMPLES["PNG"]
    texts = chunk(b"zTXt", b"a\0\0" + bomb) * 100
    profile = chunk(b"iCCP", b"a\0\0" + zlib.compress(swapped_profile()))
    plain = encoded(four_colours(), "PNG")
    again = after_header(plain, profile, chunk(b"iCCP", b"a\0\0" + bomb) * 100, texts)
    assert rendered(again) == rendered(after_header(plain, profile)) != rendered(plain)
    assert rendered(after_header(data, texts)) == rendered(data)


PEAK = """
import sys
from api.pictures.render import render

def megabytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith(name))

with open("tests/photos/chelsea.png", "rb") as file:
    render(file)
idle = megabytes("VmRSS")
with open(sys.argv[1], "rb") as file:
    render(file)
print(megabytes("VmHWM") - idle)
"""


@pytest.mark.system
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from there")
@pytest.mark.parametrize("name", ["PNG", "palette PNG", "JPEG", "WebP", "AVIF"])
def test_stays_within_400_mb_for_the_largest_pictures(name, tmp_path):
    path = tmp_path / "largest"
    if name == "PNG":
        path.write_bytes(png(8192, 6100, 8, 6, bytes(8192 * 4 + 1) * 6100))
    elif name == "palette PNG":
        palette = chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(256))
        path.write_bytes(png(8192, 6100, 8, 3, bytes(8193) * 6100, *palette))
    elif name == "JPEG":
        # Of a small picture, its size alone made large: what is missing of it is read as grey.
        small = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True, subsampling=0)
        path.write_bytes(with_jpeg_size(small, 8192, 6100))
    elif name == "WebP":
        Image.new("RGBA", (5000, 4000), (1, 2, 3, 128)).save(path, "WEBP", lossless=True, method=0, quality=0)
    else:
        Image.new("RGBA", (5000, 4000), (1, 2, 3, 128)).save(path, "AVIF", speed=10, subsampling="4:4:4")
    root = Path(__file__).parent.parent
    peak = subprocess.run([sys.executable, "-c", PEAK, path], cwd=root, capture_output=True, check=True, text=True)
    assert int(peak.stdout) < 400


def test_renders_in_many_threads_at_once():
    photos = [(PHOTOS / name).read_bytes() for name in ("grace_hopper.jpg", "astronaut.jpg", "chelsea.png")]
    photos += [SAMPLES["AVIF"], SAMPLES["WebP"], SAMPLES["GIF"]]
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(rendered, photos * 8))
    assert results == [rendered(photo) for photo in photos] * 8


# The picture of who has none

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
def test_draws_both_sizes_for_any_name(name):
    drawing = render_avatar(name)
    assert (drawing.width, drawing.height) == (125, 175)
    assert Image.open(BytesIO(drawing.normal)).size == (125, 175)
    assert Image.open(BytesIO(drawing.double)).size == (250, 350)


@pytest.mark.system
def test_draws_the_same_for_a_name_in_every_process():
    script = (
        "import hashlib; from api.pictures.default import render_avatar;"
        "print(hashlib.sha256(render_avatar('rex').double).hexdigest())"
    )
    here = hashlib.sha256(render_avatar("rex").double).hexdigest()
    for seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        )
        assert there.stdout.strip() == here


def shape(name, monkeypatch):
    monkeypatch.setattr(default, "COLOURS", ("black",))
    return render_avatar(name).double


def test_draws_the_initial_without_its_accents(monkeypatch):
    assert len({shape(name, monkeypatch) for name in ("Éric", "eric", "_Emma", "Ｅｖｅ")}) == 1


def test_draws_a_shape_of_its_own_for_each_letter_and_digit_and_a_paw_for_all_else(monkeypatch):
    letters = {shape(name, monkeypatch) for name in "abcdefghijklmnopqrstuvwxyz0123456789"}
    paws = {shape(name, monkeypatch) for name in ("七海", "محمد", "🐶", "", "Ω", "Жук")}
    assert len(letters) == 36
    assert len(paws) == 1
    assert letters.isdisjoint(paws)


def luminance(colour):
    """The relative luminance of WCAG 2.2."""
    parts = [level / 255 for level in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_draws_in_many_colours_that_can_all_be_read():
    grounds = set()
    for number in range(50):
        image = largest(render_avatar(f"{number}")).convert("RGB")
        grounds.add(image.getpixel((0, 0)))
        assert WHITE in {colour for _, colour in image.getcolors(100_000)}
    assert len(grounds) > 8
    assert grounds <= {ImageColor.getrgb(colour) for colour in default.COLOURS}
    assert all(1.05 / (luminance(ImageColor.getrgb(colour)) + 0.05) >= 4.5 for colour in default.COLOURS)
