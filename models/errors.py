"""What can go wrong with rows. These errors know no status code: `api/errors.py` gives them one."""


class NotFound(Exception):
    """No such row."""


class Conflict(Exception):
    """A value is taken that only one row may have.

    `fields` maps each field at fault to what is wrong with it; the first is the message.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = {field: [message] for field, message in fields.items()}


class Ended(Exception):
    """The session or the account that this was to be done for has just ended."""


class Stale(Exception):
    """The row has changed since the caller read it."""
