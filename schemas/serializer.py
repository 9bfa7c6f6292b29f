"""Compile a marshmallow schema into a fast dump function, with the same output as `schema.dump`.

`schema.dump` looks up in each row how each field serializes its value. Most values are passed through unchanged, so
here this is decided once for each schema.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from marshmallow import Schema, fields, missing

# Fields that return a value of exactly this type unchanged.
PASSTHROUGH_FIELDS: dict[type[fields.Field[Any]], type] = {
    fields.Integer: int,
    fields.String: str,
    fields.Boolean: bool,
}

# Combinations of value types for which each function caches whether they are as expected.
TYPE_CACHE_SIZE = 100

Dump = Callable[[Any], Any]


def compile_dump(schema: Schema) -> Dump:
    """Return a function with the same output as `schema.dump`, several times as fast.

    It falls back to `schema.dump` for rows with keys (such as dicts) and rows with a missing value or one of an
    unexpected type, and for all rows of a schema that has hooks or overrides how attributes are read.
    """
    dump_fields = list(schema.dump_fields.items())
    attributes = [name if field.attribute is None else field.attribute for name, field in dump_fields]
    has_hooks = any(schema._hooks[hook] for hook in ("pre_dump", "post_dump"))
    has_overrides = schema.many or any(is_overridden(schema, Schema, name) for name in ("dump", "get_attribute"))
    if has_hooks or has_overrides or not all(reads_plain_attribute(field) for _, field in dump_fields):
        return schema.dump
    # `attrgetter` resolves dots differently, and returns a tuple only for two names or more.
    if len(dump_fields) < 2 or any("." in attribute for attribute in attributes):
        return schema.dump
    keys = [name if field.data_key is None else field.data_key for name, field in dump_fields]
    get_values = attrgetter(*attributes)
    expected = [PASSTHROUGH_FIELDS[type(field)] if is_passthrough(field) else None for _, field in dump_fields]
    serialized = [
        (index, name, serializer(field)) for index, (name, field) in enumerate(dump_fields) if not is_passthrough(field)
    ]

    @lru_cache(TYPE_CACHE_SIZE)
    def are_expected(*types: type) -> bool:
        return type(missing) not in types and all(
            wanted in (None, given) for wanted, given in zip(expected, types, strict=True)
        )

    def dump(row: Any) -> Any:
        if not isinstance(row, tuple) and hasattr(row, "__getitem__"):
            return schema.dump(row)
        try:
            values = list(get_values(row))
            if not are_expected(*map(type, values)):
                return schema.dump(row)
            for index, name, serialize in serialized:
                values[index] = serialize(values[index], name, row)
                if values[index] is missing:
                    return schema.dump(row)
        except AttributeError:
            return schema.dump(row)
        return dict(zip(keys, values, strict=True))

    return dump


def is_overridden(instance: Any, base: type, name: str) -> bool:
    """Return whether the instance's class overrides this method of `base`."""
    return getattr(type(instance), name) is not getattr(base, name)


def reads_plain_attribute(field: fields.Field[Any]) -> bool:
    """Return whether this field reads its value from an attribute of the row, as fields do by default."""
    return field._CHECK_ATTRIBUTE and not any(
        is_overridden(field, fields.Field, name) for name in ("serialize", "get_value")
    )


def is_passthrough(field: fields.Field[Any]) -> bool:
    """Return whether this field returns a value of its type unchanged."""
    return type(field) in PASSTHROUGH_FIELDS and not getattr(field, "as_string", False)


def serializer(field: fields.Field[Any]) -> Callable[[Any, str, Any], Any]:
    """Return the function that serializes a value of this field, called with value, field name and row."""
    if type(field) is not fields.Nested or field.many or field.schema.many:
        return field._serialize
    dump = compile_dump(field.schema)
    return lambda value, *_: None if value is None else dump(value)
