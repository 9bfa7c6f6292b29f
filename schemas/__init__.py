"""Marshmallow schemas of requests and responses, one for each purpose. They run no query and know no request."""

from .dog import SORT_NAMES, DogInputSchema, DogQuerySchema, DogSchema, UpdateDogSchema
from .fields import SchemaContext
from .serializer import compile_dump
from .system import EmptySchema, HealthSchema, ReadinessSchema
from .user import (
    ChangePasswordSchema,
    ConfirmPasswordSchema,
    LoginSchema,
    PictureUploadSchema,
    PrivateUserSchema,
    PublicUserSchema,
    RegisterSchema,
    UpdateProfileSchema,
)

__all__ = [
    "SORT_NAMES",
    "ChangePasswordSchema",
    "ConfirmPasswordSchema",
    "DogInputSchema",
    "DogQuerySchema",
    "DogSchema",
    "EmptySchema",
    "HealthSchema",
    "LoginSchema",
    "PictureUploadSchema",
    "PrivateUserSchema",
    "PublicUserSchema",
    "ReadinessSchema",
    "RegisterSchema",
    "SchemaContext",
    "UpdateDogSchema",
    "UpdateProfileSchema",
    "compile_dump",
]  # fmt: skip
