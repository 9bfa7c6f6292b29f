"""Resize an uploaded image, and encode it as WebP in two sizes."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageCms

from .decode import (
    DAMAGED,
    MAX_PROFILE,
    TOO_COMPLEX,
    UNREADABLE_FRAME,
    UNREADABLE_JPEG,
    DecodedImage,
    InvalidImage,
    Size,
    read_picture,
)

SIZE_1X = (125, 175)
SIZE_2X = (250, 350)
BAND_PIXELS = 1 << 20

# Pictures of at most so many pixels or colours are stored losslessly, if their files are small.
SMALL_PIXELS = 64 * 64
FLAT_COLOURS = 1024
MAX_LOSSLESS_BYTES = 10_000

# The transposition for each EXIF orientation. From 5 on, width and height are swapped.
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
    """A picture ready to store: WebP files, and the `width` and `height` of the normal one in CSS pixels.

    `double` is None if the source has no more pixels than the normal size.
    """

    normal: bytes
    width: int
    height: int
    double: bytes | None


def render(data: bytes) -> RenderedPicture:
    """Rotate an upload by its EXIF orientation, convert it to sRGB, and fit it into 125x175 and 250x350 pixels.

    It is never enlarged. Raises `InvalidImage`, whatever the content. For 50 megapixels it takes about a second.
    """
    try:
        source = read_picture(data, SIZE_2X)
        is_sideways = source.orientation > 4
        upright = source.size[::-1] if is_sideways else source.size
        double, normal = fit(upright, SIZE_2X), fit(upright, SIZE_1X)
        picture = downscale(source, double[::-1] if is_sideways else double)
        if source.orientation in EXIF_TRANSPOSE:
            picture = picture.transpose(EXIF_TRANSPOSE[source.orientation])
        return encode_sizes(convert_to_srgb(picture, source.profile), normal)
    except InvalidImage:
        raise
    except MemoryError:
        raise InvalidImage(TOO_COMPLEX) from None
    except Exception as error:
        # Pillow documents no exceptions for broken files, and raises a dozen types. Calls differ in nothing but the
        # upload, so it is the cause of any exception.
        is_unreadable = data.startswith(b"\xff\xd8") and UNREADABLE_FRAME.search(data)
        raise InvalidImage(UNREADABLE_JPEG if is_unreadable else DAMAGED) from error


def fit(size: Size, box: Size) -> Size:
    """Return the size scaled down to fit into the box, if needed; at least one pixel on each side."""
    ratio = min(1, box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def downscale(source: DecodedImage, size: Size) -> Image.Image:
    """Resize an image to this size, in a mode of `normalize_mode` and without metadata.

    It is first reduced to about twice the size, in bands, so that the full image is never in memory in a second mode.
    """
    image = source.image
    image.load()
    height = max(1, BAND_PIXELS // image.width)
    factor_x, factor_y = max(1, image.width // (2 * size[0])), max(1, min(height, image.height // (2 * size[1])))
    height -= height % factor_y
    bands = [
        normalize_mode(image.crop((0, top, image.width, min(top + height, image.height)))).reduce((factor_x, factor_y))
        for top in range(0, image.height, height)
    ]
    reduced = Image.new(bands[0].mode, (bands[0].width, -(-image.height // factor_y)))
    for number, band in enumerate(bands):
        reduced.paste(band, (0, number * height // factor_y))
    # The last row and column may cover fewer source pixels than the others.
    box = (0, 0, source.size[0] / (factor_x * source.scale), source.size[1] / (factor_y * source.scale))
    return reduced.resize(size, Image.Resampling.LANCZOS, box)


def normalize_mode(image: Image.Image) -> Image.Image:
    """Convert an image to L, LA, RGB, RGBA or CMYK, with 8 bits per channel."""
    if image.mode == "I;16":
        # Pillow would clip these at 255. The high byte of each pixel is its value in 8 bits.
        high = Image.frombytes("L", image.size, image.tobytes()[1::2])
        high.info = image.info
        image = high
    if image.mode in ("LA", "CMYK"):
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def convert_to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image to RGB or RGBA in sRGB, from its colour profile if that is valid."""
    alpha = picture.getchannel("A") if picture.mode in ("LA", "RGBA") else None
    colours = picture.convert({"LA": "L", "RGBA": "RGB"}.get(picture.mode, picture.mode))
    if profile and len(profile) <= MAX_PROFILE:
        srgb = ImageCms.createProfile("sRGB")
        try:
            embedded = ImageCms.ImageCmsProfile(BytesIO(profile))
            colours = ImageCms.profileToProfile(colours, embedded, srgb, outputMode="RGB") or colours
        except (OSError, ImageCms.PyCMSError):
            pass
    colours = colours.convert("RGB")
    if alpha:
        colours.putalpha(alpha)
    return colours


def encode_sizes(double: Image.Image, size: Size) -> RenderedPicture:
    """Encode a picture in its own size and in `size`, as WebP."""
    normal = double.resize(size, Image.Resampling.LANCZOS)
    double_file = encode(double) if double.size != size else None
    return RenderedPicture(encode(normal), *size, double_file)


def encode(picture: Image.Image) -> bytes:
    """Return the picture as a WebP file: lossless if it is small or flat and takes less than `MAX_LOSSLESS_BYTES`.

    Lossy WebP has half the resolution for colours, which blurs pixel art and coloured letters.
    """
    if picture.width * picture.height <= SMALL_PIXELS or picture.getcolors(FLAT_COLOURS):
        file = encode_webp(picture, lossless=True)
        if len(file) < MAX_LOSSLESS_BYTES:
            return file
    return encode_webp(picture, lossless=False)


def encode_webp(picture: Image.Image, lossless: bool) -> bytes:
    """Return the picture as a WebP file."""
    stream = BytesIO()
    picture.save(stream, "WEBP", quality=80, lossless=lossless)
    return stream.getvalue()
