"""Case-insensitive comparison of texts, in every script."""

import unicodedata


def casefold_nfc(text: str) -> str:
    """Return the form that all spellings of a text share, in any case.

    Source: the Unicode Standard, section 3.13, D145 (canonical caseless matching). Python does it rather than the
    database, because SQLite folds only ASCII and PostgreSQL depends on its locale.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
