"""State of one application: a typed entry of `app.extensions`, instead of a string key and a cast at each use."""

from __future__ import annotations

from typing import Generic, TypeVar

from flask import Flask, current_app

T = TypeVar("T")


class AppState(Generic[T]):
    """One value per application, such as its picture store.

    A module declares it (`store = AppState[PictureStore]("pictures")`), its `init_app` sets it, and `get` returns the
    value of the current application.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def set(self, app: Flask, value: T) -> T:
        """Set the value of this application, and return it."""
        app.extensions[self.name] = value
        return value

    def get(self, app: Flask | None = None) -> T:
        """Return the value of this application, or of the current one. Raises `KeyError` before `set`."""
        value: T = (app or current_app).extensions[self.name]
        return value
