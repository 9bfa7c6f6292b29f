"""What leaves by a schema, by a function that is made once for it. It gives what the schema's own `dump` gives.

The schema stays the only description of what leaves. Its `dump` asks each field of each row what to do with a value;
most values are sent as they are, so here that is found out once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from marshmallow import Schema, fields

# What these kinds of fields give of a value of this very type is the value.
PLAIN: dict[type[fields.Field[Any]], type] = {fields.Integer: int, fields.String: str, fields.Boolean: bool}

# How many combinations of types each function remembers to be as expected, or not.
TYPES = 100

Dump = Callable[[Any], Any]


def dump_of(schema: Schema) -> Dump:
    """A function from a row to what the schema's `dump` gives of it, many times as fast.

    A dict, and a row with a value of another type than its field expects, or without one, goes by the schema itself.
    So do all rows of a schema with hooks, or with fields that take their values from elsewhere.
    """
    outgoing = [(field.data_key or name, field.attribute or name, field) for name, field in schema.dump_fields.items()]
    has_hooks = any(schema._hooks[hook] for hook in ("pre_dump", "post_dump"))
    has_own_way = type(schema).get_attribute is not Schema.get_attribute or type(schema).dump is not Schema.dump
    if has_hooks or has_own_way or not all(field._CHECK_ATTRIBUTE and "." not in name for _, name, field in outgoing):
        return schema.dump
    if len(outgoing) < 2:  # `attrgetter` gives a tuple of two and more
        return schema.dump
    keys = [key for key, _, _ in outgoing]
    values_of = attrgetter(*(attribute for _, attribute, _ in outgoing))
    expected = [PLAIN[type(field)] if is_plain(field) else None for _, _, field in outgoing]
    others = [
        (place, attribute, serializer(field))
        for place, (_, attribute, field) in enumerate(outgoing)
        if not is_plain(field)
    ]

    @lru_cache(TYPES)
    def are_expected(*types: type) -> bool:
        return all(wanted in (None, found) for wanted, found in zip(expected, types, strict=True))

    def dump(row: Any) -> Any:
        if isinstance(row, dict):
            return schema.dump(row)
        try:
            values = list(values_of(row))
            if not are_expected(*map(type, values)):
                return schema.dump(row)
            for place, attribute, serialize in others:
                values[place] = serialize(values[place], attribute, row)
        except AttributeError:
            return schema.dump(row)
        return dict(zip(keys, values, strict=True))

    return dump


def is_plain(field: fields.Field[Any]) -> bool:
    """Whether this field gives a value of its own type as it is."""
    return type(field) in PLAIN and not getattr(field, "as_string", False)


def serializer(field: fields.Field[Any]) -> Callable[[Any, str, Any], Any]:
    """What this field gives of a value, the name of its attribute, and its row."""
    if type(field) is not fields.Nested or field.many or field.schema.many:
        return field._serialize
    dump = dump_of(field.schema)
    return lambda value, *_: None if value is None else dump(value)
