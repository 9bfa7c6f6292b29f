"""State of one application: a typed entry of `app.extensions`, instead of a string key and a cast at each use."""

from __future__ import annotations

from typing import Generic, TypeVar

from flask import Flask, current_app

T = TypeVar("T")


class AppState(Generic[T]):
    """A value that each application has one of, such as its picture store.

    A module names it once (`store = AppState[PictureStore]("pictures")`), its `init_app` sets it, and `get` returns
    that of the current application.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def set(self, app: Flask, value: T) -> T:
        """Set the value of this application, and return it."""
        app.extensions[self.name] = value
        return value

    def get(self, app: Flask | None = None) -> T:
        """Return the value of this application, or of the current one. Raise `KeyError` before `set`."""
        value: T = (app or current_app).extensions[self.name]
        return value
