"""What may come in and what goes out: one schema for each purpose. Nothing here runs a query or knows a request."""

from .dog import SORT_NAMES, DogChangeSchema, DogQuerySchema, DogSchema, NewDogSchema
from .fields import Around
from .serializer import dump_of
from .system import HealthSchema, NothingSchema, ReadinessSchema
from .user import (
    LoginSchema,
    NewPasswordSchema,
    OwnUserSchema,
    PasswordSchema,
    PictureUploadSchema,
    ProfileChangeSchema,
    RegisterSchema,
    UserSchema,
)

__all__ = [
    "SORT_NAMES",
    "Around", "DogChangeSchema", "DogQuerySchema", "DogSchema", "HealthSchema", "LoginSchema", "NewDogSchema",
    "NewPasswordSchema", "NothingSchema", "OwnUserSchema",
    "PasswordSchema", "PictureUploadSchema", "ProfileChangeSchema", "ReadinessSchema", "RegisterSchema",
    "UserSchema", "dump_of",
]  # fmt: skip
