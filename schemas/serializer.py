"""What leaves by a schema, by a function that is made once for it. It gives what the schema's own `dump` gives.

The schema stays the only description of what leaves. Its `dump` asks each field of each row what to do with a value;
most values are sent as they are, so here that is found out once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from marshmallow import Schema, fields, missing

# What these kinds of fields give of a value of this very type is the value.
PASSTHROUGH_FIELDS: dict[type[fields.Field[Any]], type] = {
    fields.Integer: int,
    fields.String: str,
    fields.Boolean: bool,
}

# How many combinations of types each function remembers to be as expected, or not.
TYPE_CACHE_SIZE = 100

Dump = Callable[[Any], Any]


def compile_dump(schema: Schema) -> Dump:
    """A function from a row to what the schema's `dump` gives of it, many times as fast.

    A row that keeps its values by keys, as a dict does, and one with a value of another type than its field expects, or
    without one, goes by the schema itself. So do all rows of a schema with hooks, or with fields that take their values
    from elsewhere.
    """
    outgoing = list(schema.dump_fields.items())
    attributes = [name if field.attribute is None else field.attribute for name, field in outgoing]
    has_hooks = any(schema._hooks[hook] for hook in ("pre_dump", "post_dump"))
    has_own_way = schema.many or any(is_overridden(schema, Schema, name) for name in ("dump", "get_attribute"))
    if has_hooks or has_own_way or not all(reads_plain_attribute(field) for _, field in outgoing):
        return schema.dump
    # `attrgetter` follows a dot in its own way, and gives a tuple of two and more.
    if len(outgoing) < 2 or any("." in attribute for attribute in attributes):
        return schema.dump
    keys = [name if field.data_key is None else field.data_key for name, field in outgoing]
    values_of = attrgetter(*attributes)
    expected = [PASSTHROUGH_FIELDS[type(field)] if is_passthrough(field) else None for _, field in outgoing]
    others = [
        (place, name, serializer(field)) for place, (name, field) in enumerate(outgoing) if not is_passthrough(field)
    ]

    @lru_cache(TYPE_CACHE_SIZE)
    def are_expected(*types: type) -> bool:
        return type(missing) not in types and all(
            wanted in (None, found) for wanted, found in zip(expected, types, strict=True)
        )

    def dump(row: Any) -> Any:
        if not isinstance(row, tuple) and hasattr(row, "__getitem__"):
            return schema.dump(row)
        try:
            values = list(values_of(row))
            if not are_expected(*map(type, values)):
                return schema.dump(row)
            for place, name, serialize in others:
                values[place] = serialize(values[place], name, row)
                if values[place] is missing:
                    return schema.dump(row)
        except AttributeError:
            return schema.dump(row)
        return dict(zip(keys, values, strict=True))

    return dump


def is_overridden(thing: Any, kind: type, name: str) -> bool:
    """Whether this thing has another method of this name than those of its kind."""
    return getattr(type(thing), name) is not getattr(kind, name)


def reads_plain_attribute(field: fields.Field[Any]) -> bool:
    """Whether this field takes its value from an attribute of the row, in the way of all fields."""
    return field._CHECK_ATTRIBUTE and not any(
        is_overridden(field, fields.Field, name) for name in ("serialize", "get_value")
    )


def is_passthrough(field: fields.Field[Any]) -> bool:
    """Whether this field gives a value of its own type as it is."""
    return type(field) in PASSTHROUGH_FIELDS and not getattr(field, "as_string", False)


def serializer(field: fields.Field[Any]) -> Callable[[Any, str, Any], Any]:
    """What this field gives of a value, its own name, and the row."""
    if type(field) is not fields.Nested or field.many or field.schema.many:
        return field._serialize
    dump = compile_dump(field.schema)
    return lambda value, *_: None if value is None else dump(value)
