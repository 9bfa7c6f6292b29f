"""Accounts, as they come in and go out. No schema that goes out has a field for a password."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from .fields import Around, Email, KnownPassword, Moment, Password, Upload, Username


class PictureSchema(Schema):
    """A picture, ready for an `<img>` on any origin. Dump it within `Around({"pictures": <URL of their folder>})`."""

    url = fields.Function(lambda picture: url_of(picture.image))
    srcset = fields.Function(lambda picture: srcset_of(picture))
    width = fields.Integer()
    height = fields.Integer()
    is_default = fields.Boolean()


def url_of(image: str) -> str:
    """The whole URL of a picture's file."""
    return f"{Around.get()['pictures']}/{image}"


def srcset_of(picture: Any) -> str:
    """The `srcset` of an `<img>` (HTML, section 4.8.4.2.1)."""
    sizes = [f"{url_of(picture.image)} 1x"]
    if picture.double:
        sizes.append(f"{url_of(picture.double)} 2x")
    return ", ".join(sizes)


class UserSchema(Schema):
    """A user, as others see it."""

    id = fields.Integer()
    username = fields.String()
    image = fields.String()
    picture = fields.Nested(PictureSchema)


class OwnUserSchema(UserSchema):
    """A user, as its owner sees it."""

    email = fields.String()
    created_at = Moment()


class RegisterSchema(Schema):
    """A new account."""

    username = Username(required=True)
    email = Email(required=True)
    password = Password(required=True)
    file = Upload()


class LoginSchema(Schema):
    """Who logs in: a name or an address, and the password."""

    username = Username()
    email = Email()
    password = KnownPassword()
    remember = fields.Boolean(load_default=False)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def name_somebody(self, _: Any, given: dict[str, Any], **__: Any) -> None:
        """Raise `ValidationError` where neither a name nor an address is given."""
        if "username" not in given and "email" not in given:
            raise ValidationError({"email": ["Give your email or your username."]})


class ProfileChangeSchema(Schema):
    """What an owner may change of an account. Load it within `Around({"user": ...})`, the account as it is."""

    username = Username()
    email = Email()
    file = Upload()
    current_password = KnownPassword(required=False)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def confirm_new_email(self, fields: dict[str, Any], given: dict[str, Any], **_: Any) -> None:
        """Raise `ValidationError` where a new address comes without the password."""
        is_new = fields.get("email") not in (None, Around.get()["user"].email)
        if is_new and "current_password" not in given:
            raise ValidationError({"current_password": ["A new e-mail address needs your current password too."]})


class PasswordSchema(Schema):
    """The password, once more, before something that can't be undone."""

    current_password = KnownPassword()


class NewPasswordSchema(PasswordSchema):
    """A change of the password."""

    new_password = Password(required=True)


class PictureUploadSchema(Schema):
    """A picture."""

    file = Upload(required=True)
