"""Accounts, as they come in and go out. No schema that goes out has a field for a password."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from .fields import CurrentPassword, Email, ImageUpload, Password, SchemaContext, StrictBoolean, Username, UtcDateTime

# For the API's description.
USERNAME, EMAIL, IMAGE, PASSWORD, NEW_PASSWORD = (
    {"examples": [text]}
    for text in (
        "Anna", "anna@example.com", "6b2649c9f98041d8ec7b5a8df8c6cc72.webp", "correct horse", "battery staple",
    )
)  # fmt: skip


class PictureUrl(fields.Field[str]):
    """The whole URL of a picture's file. Dump it within `SchemaContext({"pictures": <URL of their folder>})`."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return f"{SchemaContext.get()['pictures']}/{value}"


class PictureUrls(PictureUrl):
    """The `srcset` of an `<img>` (HTML, section 4.8.4.2.1), from the names of a picture's files."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        urls = [super(PictureUrls, self)._serialize(name, *args) for name in value]
        return ", ".join(f"{url} {size}x" for size, url in enumerate(urls, 1))


class PictureSchema(Schema):
    """A picture, ready for an `<img>` on any origin."""

    url = PictureUrl(attribute="image", metadata={"type": "string", "format": "uri"})
    srcset = PictureUrls(attribute="files", metadata={"type": "string"})
    width = fields.Integer()
    height = fields.Integer()
    is_default = fields.Boolean()


class PublicUserSchema(Schema):
    """A user, as others see it."""

    id = fields.Integer()
    username = fields.String(metadata=USERNAME)
    image = fields.String(metadata=IMAGE)
    picture = fields.Nested(PictureSchema)


class PrivateUserSchema(PublicUserSchema):
    """A user, as its owner sees it."""

    email = fields.String(metadata=EMAIL)
    created_at = UtcDateTime()


class RegisterSchema(Schema):
    """A new account."""

    username = Username(required=True, metadata=USERNAME)
    email = Email(required=True, metadata=EMAIL)
    password = Password(required=True, metadata=PASSWORD)
    file = ImageUpload()


class LoginSchema(Schema):
    """Who logs in: a name or an address, and the password."""

    class Meta:
        # For the API's description: what `name_somebody` checks.
        json_schema = {"if": {"not": {"required": ["username"]}}, "then": {"required": ["email"]}}

    username = Username(metadata=USERNAME)
    email = Email(metadata=EMAIL)
    password = CurrentPassword(metadata=PASSWORD)
    remember = StrictBoolean(load_default=False, metadata={"description": "Stay logged in when the browser is closed."})

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def name_somebody(self, _: Any, given: dict[str, Any], **__: Any) -> None:
        """Raise `ValidationError` where neither a name nor an address is given."""
        if "username" not in given and "email" not in given:
            raise ValidationError({"email": ["Give your email or your username."]})


class UpdateProfileSchema(Schema):
    """What an owner may change of an account.

    Load it within `SchemaContext({"user": ...})`, the account as it is.
    """

    class Meta:
        # For the API's description: what `confirm_new_email` checks.
        json_schema = {"dependentRequired": {"email": ["current_password"]}}

    username = Username(metadata=USERNAME)
    email = Email(metadata=EMAIL)
    file = ImageUpload()
    current_password = CurrentPassword(required=False, metadata=PASSWORD)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def confirm_new_email(self, fields: dict[str, Any], given: dict[str, Any], **_: Any) -> None:
        """Raise `ValidationError` where a new address comes without the password."""
        is_new = fields.get("email") not in (None, SchemaContext.get()["user"].email)
        if is_new and "current_password" not in given:
            raise ValidationError({"current_password": ["A new e-mail address needs your current password too."]})


class ConfirmPasswordSchema(Schema):
    """The password, once more, before something that can't be undone."""

    current_password = CurrentPassword(metadata=PASSWORD)


class ChangePasswordSchema(ConfirmPasswordSchema):
    """A change of the password."""

    new_password = Password(required=True, metadata=NEW_PASSWORD)


class PictureUploadSchema(Schema):
    """A picture."""

    file = ImageUpload(required=True)
