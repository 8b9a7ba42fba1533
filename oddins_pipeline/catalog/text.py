"""Names and addresses in one form: the rules for the data in docs/provider.md."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 500
"""Characters; an index entry of PostgreSQL holds about 2,700 bytes."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBERED_MEDIA = re.compile(r"^(https?://)media-\d+\.")


def clean(text: str) -> str:
    """NFC, without control characters, stripped. Raises ValueError on a NUL or a lone surrogate."""
    if text.isascii() and text.isprintable():
        return text.strip()
    if "\x00" in text:
        raise ValueError("holds a NUL character")
    if _SURROGATE.search(text):
        raise ValueError("holds a lone surrogate")
    # In this order: what stands on both sides of a control character may compose.
    return unicodedata.normalize("NFC", _CONTROL.sub("", text)).strip()


def clean_name(text: str) -> str:
    """A name that must not be empty, nor longer than MAX_NAME. Raises ValueError."""
    name = clean(text)
    if not name:
        raise ValueError("is empty")
    if len(name) > MAX_NAME:
        raise ValueError(f"is longer than {MAX_NAME} characters")
    return name


def clean_optional(text: str | None) -> str | None:
    """A text that may be missing; an empty one is missing."""
    return (clean(text) or None) if text is not None else None


def canonical_media_url(url: str | None) -> str | None:
    """`https://media-3.…` becomes `https://media.…`: the host varied, the picture did not."""
    cleaned = clean_optional(url)
    return _NUMBERED_MEDIA.sub(r"\1media.", cleaned) if cleaned else None
