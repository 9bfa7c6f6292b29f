"""Schemas of accounts. No response schema has a field for a password."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from .fields import CurrentPassword, Email, ImageUpload, Password, SchemaContext, StrictBoolean, Username, UtcDateTime

# Examples for the OpenAPI document.
USERNAME, EMAIL, IMAGE, PASSWORD, NEW_PASSWORD = (
    {"examples": [text]}
    for text in (
        "Anna", "anna@example.com", "6b2649c9f98041d8ec7b5a8df8c6cc72.webp", "correct horse", "battery staple",
    )
)  # fmt: skip


class PictureUrl(fields.Field[str]):
    """The absolute URL of a picture's file. Dump it within `SchemaContext({"pictures": <base URL>})`."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return f"{SchemaContext.get()['pictures']}/{value}"


class PictureUrls(PictureUrl):
    """The `srcset` of an `<img>` (HTML, section 4.8.4.2.1), of the file names of a picture."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        urls = [super(PictureUrls, self)._serialize(name, *args) for name in value]
        return ", ".join(f"{url} {size}x" for size, url in enumerate(urls, 1))


class PictureSchema(Schema):
    """A picture, for an `<img>` on any origin."""

    url = PictureUrl(attribute="image", metadata={"type": "string", "format": "uri"})
    srcset = PictureUrls(attribute="files", metadata={"type": "string"})
    width = fields.Integer()
    height = fields.Integer()
    is_default = fields.Boolean()


class PublicUserSchema(Schema):
    """A user, as shown to others."""

    id = fields.Integer()
    username = fields.String(metadata=USERNAME)
    image = fields.String(metadata=IMAGE)
    picture = fields.Nested(PictureSchema)


class PrivateUserSchema(PublicUserSchema):
    """Your own account."""

    email = fields.String(metadata=EMAIL)
    created_at = UtcDateTime()


class RegisterSchema(Schema):
    """A new account."""

    username = Username(required=True, metadata=USERNAME)
    email = Email(required=True, metadata=EMAIL)
    password = Password(required=True, metadata=PASSWORD)
    file = ImageUpload()

    @validates_schema
    def require_other_password(self, fields: dict[str, Any], **_: Any) -> None:
        """Raise `ValidationError` for a password that holds the username or the email address."""
        validate_password_for(fields["password"], fields["username"], fields["email"], "password")


def validate_password_for(password: str, username: str, email: str, field: str) -> None:
    """Raise `ValidationError` for a password that holds the username, of 4 characters or more, or the email address."""
    names = [name.casefold() for name in (username, email) if len(name) >= 4]
    if any(name in password.casefold() for name in names):
        raise ValidationError({field: ["Must not contain your username or your email address."]})


class LoginSchema(Schema):
    """Credentials: a username or an email address, and the password."""

    class Meta:
        # For the OpenAPI document: the check of `require_identifier`.
        json_schema = {"if": {"not": {"required": ["username"]}}, "then": {"required": ["email"]}}

    username = Username(metadata=USERNAME)
    email = Email(metadata=EMAIL)
    password = CurrentPassword(metadata=PASSWORD)
    remember = StrictBoolean(load_default=False, metadata={"description": "Stay logged in after closing the browser."})

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def require_identifier(self, _: Any, given: dict[str, Any], **__: Any) -> None:
        """Raise `ValidationError` if neither a username nor an email address is given."""
        if "username" not in given and "email" not in given:
            raise ValidationError({"email": ["Provide an email address or a username."]})


class UpdateProfileSchema(Schema):
    """The fields of your account to change.

    Load it within `SchemaContext({"user": <the account>})`.
    """

    class Meta:
        # For the OpenAPI document: the check of `require_password_for_new_email`.
        json_schema = {"dependentRequired": {"email": ["current_password"]}}

    username = Username(metadata=USERNAME)
    email = Email(metadata=EMAIL)
    file = ImageUpload()
    current_password = CurrentPassword(required=False, metadata=PASSWORD)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def require_password_for_new_email(self, fields: dict[str, Any], given: dict[str, Any], **_: Any) -> None:
        """Raise `ValidationError` for a new email address without the current password."""
        is_new = fields.get("email") not in (None, SchemaContext.get()["user"].email)
        if is_new and "current_password" not in given:
            raise ValidationError({"current_password": ["Required to change your email address."]})


class ConfirmPasswordSchema(Schema):
    """The current password, to confirm a sensitive change."""

    current_password = CurrentPassword(metadata=PASSWORD)


class ChangePasswordSchema(ConfirmPasswordSchema):
    """The current and the new password."""

    new_password = Password(required=True, metadata=NEW_PASSWORD)

    @validates_schema
    def require_other_password(self, fields: dict[str, Any], **_: Any) -> None:
        """Raise `ValidationError` for a password that holds the username or the email address."""
        user = SchemaContext.get()["user"]
        if user.is_authenticated:
            validate_password_for(fields["new_password"], user.username, user.email, "new_password")


class PictureUploadSchema(Schema):
    """A new picture."""

    file = ImageUpload(required=True)
