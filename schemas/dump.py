"""What leaves by a schema, by a function that is made once for it. It gives what the schema's own `dump` gives.

The schema stays the only description of what leaves. Its `dump` asks each field of each row what to do with a value;
most values are sent as they are, so here that is found out once.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from marshmallow import Schema, fields

# What these kinds of fields give of a value of this very type is the value.
PLAIN: dict[type[fields.Field[Any]], type] = {fields.Integer: int, fields.String: str, fields.Boolean: bool}

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
    plain = [(key, attribute, PLAIN[type(field)]) for key, attribute, field in outgoing if is_plain(field)]
    if len(plain) < 2:  # `attrgetter` gives a tuple of two and more
        return schema.dump
    others = [
        (key, attrgetter(attribute), attribute, serializer(field))
        for key, attribute, field in outgoing
        if not is_plain(field)
    ]
    in_order = {key: None for key, _, _ in outgoing}
    keys, attributes, types = zip(*plain, strict=True)
    values_of = attrgetter(*attributes)

    def dump(row: Any) -> Any:
        if isinstance(row, dict):
            return schema.dump(row)
        try:
            values = values_of(row)
            if tuple(map(type, values)) != types:
                return schema.dump(row)
            data: dict[str, Any] = in_order.copy()
            data.update(zip(keys, values, strict=True))
            for key, value_of, attribute, serialize in others:
                data[key] = serialize(value_of(row), attribute, row)
        except AttributeError:
            return schema.dump(row)
        return data

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
