"""The default profile picture, drawn from the username."""

from __future__ import annotations

import hashlib
import unicodedata

from PIL import Image, ImageDraw, ImageFont

from .render import SIZE_1X, SIZE_2X, RenderedPicture, encode_sizes

# White on each of these has a contrast of at least 4.5 (WCAG 2.2, 1.4.3).
COLOURS = (
    "#b91c1c", "#c2410c", "#a16207", "#4d7c0f", "#15803d", "#0f766e", "#0e7490",
    "#0369a1", "#1d4ed8", "#4338ca", "#6d28d9", "#a21caf", "#be185d",
)  # fmt: skip
# Four times SIZE_2X. Drawn large and downscaled, for smooth edges.
CANVAS_SIZE = (1000, 1400)
PAW = (
    (345, 640, 655, 940),
    (295, 770, 515, 1005),
    (485, 770, 705, 1005),
    (160, 530, 310, 740),
    (325, 380, 485, 620),
    (515, 380, 675, 620),
    (690, 530, 840, 740),
)


def render_avatar(username: str) -> RenderedPicture:
    """Draw the initial of a username, or a paw if the font lacks its letter, in white on a colour.

    The sizes are exactly 125x175 and 250x350 pixels. The same username always gives the same bytes.
    """
    shape = Image.new("L", CANVAS_SIZE)
    draw = ImageDraw.Draw(shape)
    if initial := initial_of(username):
        font = ImageFont.load_default(640)
        left, top, right, bottom = font.getbbox(initial)
        corner = (shape.width - left - right) / 2, (shape.height - top - bottom) / 2
        draw.text(corner, initial, fill=255, font=font, stroke_width=8)
    else:
        for pad in PAW:
            draw.ellipse(pad, fill=255)
    digest = hashlib.sha256(username.encode("utf-8", "surrogatepass")).digest()
    picture = Image.new("RGB", SIZE_2X, COLOURS[digest[0] % len(COLOURS)])
    picture.paste("white", mask=shape.reduce(4))
    return encode_sizes(picture, SIZE_1X)


def initial_of(username: str) -> str:
    """Return the first letter or digit, without accents; nothing if it is not ASCII, like the glyphs of the font."""
    letters = (char for char in unicodedata.normalize("NFKD", username) if char.isalnum())
    initial = next(letters, "").upper()[:1]
    return initial if initial.isascii() else ""
