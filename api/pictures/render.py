"""Uploaded bytes to small WebP pictures."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from PIL import Image, ImageCms

from .decode import DAMAGED, MAX_PROFILE, DecodedImage, InvalidImage, Size, read_picture

SIZE_1X = (125, 175)
SIZE_2X = (250, 350)
BAND_PIXELS = 1 << 20

# What brings a picture upright, by the value of EXIF's orientation tag. From 5 on it lies on its side.
EXIF_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class RenderedPicture:
    """A picture as it is kept: WebP files, and the normal one's `width` and `height` in CSS pixels.

    `double` is None where the source has no more pixels than fit into the normal size.
    """

    normal: bytes
    width: int
    height: int
    double: bytes | None


def render(stream: BinaryIO) -> RenderedPicture:
    """Make an upload's picture upright, sRGB and small: within 125x175 pixels, doubled within 250x350.

    It is never enlarged. `stream` is a seekable binary file, read from its start. Raises `InvalidImage` for
    what is in it, and nothing else. Takes up to 350 MB and, for 50 megapixels, about a second.
    """
    stream.seek(0)
    data = stream.read()
    try:
        source = read_picture(data, SIZE_2X)
        sideways = source.orientation > 4
        upright = source.size[::-1] if sideways else source.size
        double, normal = fit(upright, SIZE_2X), fit(upright, SIZE_1X)
        picture = downscale(source, double[::-1] if sideways else double)
        if source.orientation in EXIF_TRANSPOSE:
            picture = picture.transpose(EXIF_TRANSPOSE[source.orientation])
        return encode_sizes(in_srgb(picture, source.profile), normal)
    except InvalidImage:
        raise
    except Exception as error:
        # Pillow documents no exceptions for broken files, and raises a dozen kinds. All that differs from
        # one call to the next is what was sent, so whatever was raised, that is the cause.
        raise InvalidImage(DAMAGED) from error


def fit(size: Size, box: Size) -> Size:
    """The size, shrunk to fit into the box if it does not, with at least one pixel a side."""
    ratio = min(1, box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def downscale(source: DecodedImage, size: Size) -> Image.Image:
    """The picture in the given size, in a mode of `plain`, with no metadata.

    Made band by band to about twice the size, so that all its pixels are never there in a second mode.
    """
    image = source.image
    image.load()
    lines = max(1, BAND_PIXELS // image.width)
    across, down = max(1, image.width // (2 * size[0])), max(1, min(lines, image.height // (2 * size[1])))
    lines -= lines % down
    bands = [
        normalize_mode(image.crop((0, top, image.width, min(top + lines, image.height)))).reduce((across, down))
        for top in range(0, image.height, lines)
    ]
    larger = Image.new(bands[0].mode, (bands[0].width, -(-image.height // down)))
    for number, band in enumerate(bands):
        larger.paste(band, (0, number * lines // down))
    # The last pixel of a line or column may be only partly filled.
    across, down = across * source.scale, down * source.scale
    exact = (0, 0, source.size[0] / across, source.size[1] / down)
    return larger.resize(size, Image.Resampling.LANCZOS, exact)


def normalize_mode(image: Image.Image) -> Image.Image:
    """The picture as L, LA, RGB, RGBA or CMYK, of 8 bits."""
    if image.mode == "I;16":
        # Pillow would cut these off at 255. The high one of each two bytes is the same in 8 bits.
        high = Image.frombytes("L", image.size, image.tobytes()[1::2])
        high.info = image.info
        image = high
    if image.mode in ("LA", "CMYK"):
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture as RGB or RGBA, in the colours that its profile means if it has a good one."""
    alpha = picture.getchannel("A") if picture.mode in ("LA", "RGBA") else None
    colours = picture.convert({"LA": "L", "RGBA": "RGB"}.get(picture.mode, picture.mode))
    if profile and len(profile) <= MAX_PROFILE:
        srgb = ImageCms.createProfile("sRGB")
        try:
            meant = ImageCms.ImageCmsProfile(BytesIO(profile))
            colours = ImageCms.profileToProfile(colours, meant, srgb, outputMode="RGB") or colours
        except (OSError, ImageCms.PyCMSError):
            pass
    colours = colours.convert("RGB")
    if alpha:
        colours.putalpha(alpha)
    return colours


def encode_sizes(double: Image.Image, size: Size, lossless: bool = False) -> RenderedPicture:
    """Both sizes, as WebP."""
    normal = double.resize(size, Image.Resampling.LANCZOS)
    larger = as_webp(double, lossless) if double.size != size else None
    return RenderedPicture(as_webp(normal, lossless), *size, larger)


def as_webp(picture: Image.Image, lossless: bool) -> bytes:
    """The bytes of a WebP file."""
    file = BytesIO()
    picture.save(file, "WEBP", quality=80, lossless=lossless)
    return file.getvalue()
