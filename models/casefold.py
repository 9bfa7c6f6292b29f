"""How texts are compared: without regard to case, in every script."""

import unicodedata


def casefold_nfc(text: str) -> str:
    """The form that all spellings of a text share, whatever their case.

    Source: the Unicode Standard, section 3.13, D145 (canonical caseless matching). It is done here and not by the
    database, so that SQLite (which folds only ASCII) and PostgreSQL (which asks its locale) find alike.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
