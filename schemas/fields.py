"""The kinds of values that our schemas are made of."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC
from typing import Any

from email_validator import EmailNotValidError, validate_email
from marshmallow import ValidationError, fields, validate
from marshmallow.experimental.context import Context

# Sets of characters, as patterns write them, here and in ECMA-262. First what `str.strip` takes off, then control
# characters and line breaks.
SPACE = r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CONTROL = r"\u0000-\u001f\u007f-\u009f\u2028\u2029"
# Marks that turn the direction of the text around them, so that one name can look like another
# (Unicode Technical Report 36, section 3.6, "Bidirectional Text Spoofing").
BIDIRECTIONAL = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"

# As in `models/base.py`, which schemas may not import.
MAX_ID = 2**63 - 1

# What a schema is told of its surroundings, by whoever loads or dumps it within `with Around({...})`.
SchemaContext = Context[dict[str, Any]]


def single_line_pattern(refused: str, is_visible: bool = True) -> str:
    """The pattern, for the API's description, of a trimmed text without these characters."""
    return f"^[^{refused}]*[^{refused}{SPACE}][^{refused}]*$" if is_visible else f"^[^{refused}]*$"


def with_metadata(kwargs: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    """These arguments of a field, with keywords of JSON Schema for the API's description."""
    return {**kwargs, "metadata": {**keywords, **kwargs.get("metadata", {})}}


def validate_no_control_characters(text: str) -> None:
    """Raise `ValidationError` where a text holds a control character, a line break, or half a surrogate pair."""
    if re.search(rf"[{CONTROL}\ud800-\udfff]", text):
        raise ValidationError("Take out the control characters and line breaks.")


class SingleLineString(fields.String):
    """A text in one line, trimmed, of `low` to `high` characters."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        length = validate.Length(low, high, error=f"Use {low} to {high} characters.")
        described = with_metadata(kwargs, pattern=single_line_pattern(CONTROL, is_visible=low > 0))
        super().__init__(validate=[length, validate_no_control_characters], **described)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, *args, **kwargs).strip()


class Username(SingleLineString):
    """A name to log in with: 1 to 40 characters after NFKC and trimming, kept in the case it was typed in."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(1, 40, **with_metadata(kwargs, pattern=single_line_pattern(CONTROL + BIDIRECTIONAL)))
        self.validators.append(self.validate_no_bidirectional_controls)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return unicodedata.normalize("NFKC", super()._deserialize(value, *args, **kwargs)).strip()

    @staticmethod
    def validate_no_bidirectional_controls(text: str) -> None:
        """Raise `ValidationError` where the name holds a mark that turns the direction of the text."""
        if re.search(f"[{BIDIRECTIONAL}]", text):
            raise ValidationError("Take out the marks that change the direction of the text.")


class Email(fields.String):
    """An address that could exist (RFC 5321, RFC 6531), in lower case, of at most 254 characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**with_metadata(kwargs, format="email"))

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs).strip()
        try:
            # The test environment is what lets `.test` domains in, which developers use.
            checked = validate_email(text, strict=True, check_deliverability=False, test_environment=True)
        except (EmailNotValidError, UnicodeError):
            raise ValidationError("This is not an e-mail address. Write one like anna@example.com.") from None
        address = checked.normalized.lower()
        if len(address) > 254:
            raise ValidationError("Use at most 254 characters.")
        return address


class Password(fields.String):
    """A new password: 8 to 256 characters of any kind (NIST SP 800-63B, section 3.1.1.2)."""

    def __init__(self, **kwargs: Any) -> None:
        length = validate.Length(8, 256, error="Use 8 to 256 characters.")
        super().__init__(validate=length, load_only=True, **with_metadata(kwargs, format="password"))


class CurrentPassword(fields.String):
    """A password to compare with the stored one: of any length that a stored one can have."""

    def __init__(self, **kwargs: Any) -> None:
        length = validate.Length(1, 256, error="Use 1 to 256 characters.")
        super().__init__(
            validate=length, load_only=True, **with_metadata({"required": True, **kwargs}, format="password")
        )


class ImageUpload(fields.Field):
    """A picture, as a file of a multipart form. Load it within `SchemaContext({"render": ...})`.

    `render` makes of its stream what the field gives, or raises `ValueError` with what is wrong with it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**with_metadata(kwargs, type="string", format="binary"))

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(value, "stream"):
            raise ValidationError("Send a picture here, as a file of a multipart form.")
        try:
            return SchemaContext.get()["render"](value.stream)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class StrictInteger(fields.Integer):
    """A whole number, in plain digits."""

    def _validated(self, value: Any) -> int:
        is_plain = re.fullmatch(r"-?[0-9]{1,4000}", value) if isinstance(value, str) else type(value) is int
        if not is_plain:
            raise self.make_error("invalid")
        return super()._validated(value)


class RecordId(StrictInteger):
    """An id to look for. A number that no database holds becomes 0, the id of nothing."""

    def _validated(self, value: Any) -> int:
        number = super()._validated(value)
        return number if 0 <= number <= MAX_ID else 0


class StrictBoolean(fields.Boolean):
    """True or false. A form and a query have words for it: `on` is what a browser sends for a ticked box."""

    truthy = {"true", "on"}
    falsy = {"false", "off"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(error_messages={"invalid": "Use true or false."}, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        return value if isinstance(value, bool) else super()._deserialize(value, *args, **kwargs)


class UtcDateTime(fields.Field):
    """A moment in UTC, as RFC 3339 writes it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**with_metadata(kwargs, type="string", format="date-time"))

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        moment = value if value.tzinfo is UTC else value.astimezone(UTC)
        return f"{moment.isoformat(timespec='microseconds')[:-6]}Z"  # without its +00:00
