"""
A body in the form that fits it: JSON, text or base64.

Knows media types and charsets; it must not know rows.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Mapping
from email.message import Message
from typing import Any

from fetchall import exact
from fetchall.records import Result


def body_fields(result: Result) -> dict[str, Any]:
    """
    The body in the form that fits: parsed JSON, decoded text, or base64; the other two are null.

    Text is decoded by the charset of Content-Type, else as UTF-8; what is not text in that charset is base64.
    """
    row: dict[str, Any] = {"body_json": None, "body_text": None, "body_base64": None}
    if result.body is None:
        return row
    kind, _ = media_type(result.content_type)
    if kind == "application/json" or kind.endswith("+json"):
        try:
            row["body_json"] = exact.loads(result.body)
        except ValueError:
            pass
        else:
            return row
    text = text_of(result.body, result.content_type)
    if text is None:
        row["body_base64"] = base64.b64encode(result.body).decode("ascii")
    else:
        row["body_text"] = text
    return row


def media_type(content_type: str | None) -> tuple[str, str | None]:
    """Type/subtype in lower case, and the charset parameter if one is named that is known here."""
    if not content_type:
        return "", None
    message = Message()
    message["content-type"] = content_type.encode("ascii", "replace").decode("ascii").replace("\n", " ")
    charset = message.get_content_charset()
    try:
        known = codecs.lookup(charset).name if charset else None
    except (LookupError, ValueError):
        known = None
    return content_type.split(";")[0].strip().lower(), known


_TEXTUAL = ("application/javascript", "application/xml", "application/json", "application/x-www-form-urlencoded")


def text_of(body: bytes, content_type: str | None) -> str | None:
    """A body as text, by the charset of its type, else as UTF-8; None: it is none, or not in that charset."""
    kind, charset = media_type(content_type)
    textual = kind.startswith("text/") or kind.endswith(("+xml", "+json")) or kind in _TEXTUAL
    if not textual and (kind or b"\0" in body):
        return None
    try:
        return body.decode(charset or "utf-8")
    except (ValueError, LookupError):
        return None


def body_of(row: Mapping[str, Any]) -> bytes | None:
    """The bytes of the body in a row, JSON as it would be written here; None where it has none that can be had."""
    text, data, kind = row.get("body_text"), row.get("body_base64"), row.get("content_type")
    try:
        if isinstance(text, str):
            return text.encode((media_type(kind)[1] if isinstance(kind, str) else None) or "utf-8")
        if isinstance(data, str):
            return base64.b64decode(data)
    except (ValueError, LookupError):
        return None
    return exact.dumps(row["body_json"]) if row.get("body_json") is not None else None
