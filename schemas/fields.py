"""Marshmallow fields that are stricter than the built-in ones, and describe themselves in the OpenAPI document."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Any

from email_validator import EmailNotValidError, validate_email
from marshmallow import ValidationError, fields, validate
from marshmallow.experimental.context import Context

# Character classes, in the syntax of both Python and ECMA-262. SPACE is what `str.strip` removes; CONTROL is control
# characters and line breaks.
SPACE = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CONTROL = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
# Characters that show nothing: the default ignorable ones, among them bidirectional controls (Unicode Character
# Database, Default_Ignorable_Code_Point), and the blank pattern of Braille.
INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8" + "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Where they have an effect: a joiner after a virama, within a word of Arabic letters or between emoji, and a selector
# after an emoji (Unicode Standard Annex 31, section 2.3, and Unicode Technical Standard 51).
VIRAMA = "[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039]"
ARABIC = "[\u0620-\u06ff]"
EMOJI = "[\u00a9\u00ae\u2049\u203c\u2100-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
JOINERS = re.compile(
    f"(?<={VIRAMA})[\u200c\u200d]|(?<={ARABIC})\u200c(?={ARABIC})"
    f"|(?<={EMOJI})\ufe0f?\u200d(?={EMOJI})|(?<={EMOJI})\ufe0f"
)

# The same as in `models/base.py`, which schemas may not import.
MAX_ID = 2**63 - 1

MAX_EMAIL = 254  # characters (RFC 5321, section 4.5.3.1.3, with the angle brackets)
EMAIL_TOO_LONG = "Must be at most 254 characters."

# marshmallow's context, set by `with SchemaContext({...})`: `render` (makes a picture of an upload), `user` (the
# account), `pictures` (their base URL).
SchemaContext = Context[dict[str, Any]]


def single_line_pattern(refused: str, may_be_empty: bool = False) -> str:
    """Return the JSON Schema pattern of a trimmed line without the `refused` characters."""
    return f"^[^{refused}]*$" if may_be_empty else f"^[^{refused}]*[^{refused}{SPACE}][^{refused}]*$"


def with_metadata(kwargs: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    """Return a field's arguments with JSON Schema keywords added to its metadata, for the OpenAPI document."""
    return {**kwargs, "metadata": {**keywords, **kwargs.get("metadata", {})}}


def normalize_nfkc(text: str, high: int) -> str:
    """Return the text in NFKC, or unchanged if it will be longer than `high` characters in any form.

    Normalizing many combining characters takes quadratic time in Python before 3.11.16, and holds the GIL. NFKC
    composes at most four characters into one, so a text of more than four times `high` stays too long.
    """
    return unicodedata.normalize("NFKC", text) if len(text) <= 4 * high else text


def validate_no_control_characters(text: str) -> None:
    """Raise `ValidationError` for a control character, a line break or an unpaired surrogate."""
    if re.search(rf"[{CONTROL}\ud800-\udfff]", text):
        raise ValidationError("Control characters and line breaks are not allowed.")


class SingleLineString(fields.String):
    """A trimmed line of `low` to `high` characters."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        length = validate.Length(low, high, error=f"Must be {low} to {high} characters.")
        described = with_metadata(kwargs, pattern=single_line_pattern(CONTROL, may_be_empty=low == 0))
        super().__init__(validate=[length, validate_no_control_characters], **described)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, *args, **kwargs).strip()


class Username(SingleLineString):
    """A username: 1 to 40 visible characters after NFKC normalization and trimming. Its case is preserved."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(1, 40, **with_metadata(kwargs, pattern=single_line_pattern(CONTROL + INVISIBLE)))
        self.validators.append(validate_visible)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return normalize_nfkc(super()._deserialize(value, *args, **kwargs), 40).strip()


def validate_visible(text: str) -> None:
    """Raise `ValidationError` for an invisible character, except a joiner or an emoji selector where it has an effect.

    It could make one name look like another (Unicode Technical Report 36, sections 2 and 3.6).
    """
    if re.search(f"[{INVISIBLE}]", JOINERS.sub("", text)):
        raise ValidationError("Invisible characters are not allowed.")


class Email(fields.String):
    """A valid email address (RFC 5321, RFC 6531) of at most 254 characters, converted to lower case."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**with_metadata(kwargs, format="email"))

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs).strip()
        if len(text) > MAX_EMAIL:  # parsing and normalizing are not linear in the length
            raise ValidationError(EMAIL_TOO_LONG)
        try:
            # `test_environment` allows `.test` domains, which developers use.
            checked = validate_email(text, strict=True, check_deliverability=False, test_environment=True)
        except (EmailNotValidError, UnicodeError):
            raise ValidationError("Not a valid email address.") from None
        address = checked.normalized.lower()
        if len(address) > MAX_EMAIL:
            raise ValidationError(EMAIL_TOO_LONG)
        return address


class Password(fields.String):
    """A new password: 8 to 256 characters of any kind, in NFKC (NIST SP 800-63B, section 3.1.1.2)."""

    def __init__(self, **kwargs: Any) -> None:
        length = validate.Length(8, 256, error="Must be 8 to 256 characters.")
        described = with_metadata(kwargs, format="password")
        super().__init__(validate=[length, validate_uncommon], load_only=True, **described)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return normalize_nfkc(super()._deserialize(value, *args, **kwargs), 256)


def validate_uncommon(password: str) -> None:
    """Raise `ValidationError` for one of the most common passwords, in any case."""
    if password.casefold() in common_passwords():
        raise ValidationError("This is one of the most common passwords; choose another one.")


@cache
def common_passwords() -> frozenset[str]:
    """Return the most common passwords, case-folded."""
    path = Path(__file__).parent / "common_passwords.txt"
    return frozenset(path.read_text().casefold().splitlines())


class CurrentPassword(fields.String):
    """A password to verify, of 1 to 256 characters: passwords of any permitted length must match."""

    def __init__(self, **kwargs: Any) -> None:
        length = validate.Length(1, 256, error="Must be 1 to 256 characters.")
        super().__init__(
            validate=length, load_only=True, **with_metadata({"required": True, **kwargs}, format="password")
        )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return normalize_nfkc(super()._deserialize(value, *args, **kwargs), 256)


class ImageUpload(fields.Field[Any]):
    """An image file in a multipart form. Load it within `SchemaContext({"render": ...})`.

    Its value is the result of `render` for the file's stream. `render` raises `ValueError` for an invalid image.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**with_metadata(kwargs, type="string", format="binary"))

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(value, "stream"):
            raise ValidationError("Must be a file: a part of a multipart form, with a filename.")
        try:
            return SchemaContext.get()["render"](value.stream)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class StrictInteger(fields.Integer):
    """An integer: a JSON number, or a string of digits. Floats, `1_000` and `+1` are invalid."""

    def _validated(self, value: Any) -> int:
        is_valid = re.fullmatch(r"-?[0-9]{1,4000}", value) if isinstance(value, str) else type(value) is int
        if not is_valid:
            raise self.make_error("invalid")
        return super()._validated(value)


class RecordId(StrictInteger):
    """An ID to filter by. One out of the database's range becomes 0, which no row has."""

    def _validated(self, value: Any) -> int:
        number = super()._validated(value)
        return number if 0 <= number <= MAX_ID else 0


class StrictBoolean(fields.Boolean):
    """A boolean; in forms and queries `true`, `1`, `on` (a checked checkbox in a browser) and their opposites."""

    truthy = {"true", "on", "1"}
    falsy = {"false", "off", "0"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(error_messages={"invalid": "Must be true or false."}, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if isinstance(value, bool):
            return value
        return super()._deserialize(value.lower() if isinstance(value, str) else value, *args, **kwargs)


class UtcDateTime(fields.Field[str]):
    """A timestamp in UTC (RFC 3339)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**with_metadata(kwargs, type="string", format="date-time"))

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        in_utc = value if value.tzinfo is UTC else value.astimezone(UTC)
        return f"{in_utc.isoformat(timespec='microseconds')[:-6]}Z"  # without its +00:00
