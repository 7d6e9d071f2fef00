"""
What a saved body is called: a template filled from URL, list and answer, safe on every file system by construction.

Pure: knows text alone. Whatever a URL, a header or a list says, each part of the path that comes out is a plain name:
never empty, `.` or `..`, no separator, no control or invisible character, no leading dot, dash or tilde, no trailing
dot or blank, no device of Windows, at most 200 bytes.
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

DEFAULT = "{index:06}-{host}-{stem}.{ext}"
"""Readable, sorted as the list, and no two rows share an index."""
BY_DIGEST = "{sha256}.{ext}"
"""Where one file for each digest is wanted."""
FIELDS = ("index", "sha256", "ext", "scheme", "host", "port", "path", "name", "stem", "query")
PART_BYTES = 200
"""Of one name: below the 255 of common file systems, with room for what is added to it."""
PATH_BYTES = 900
"""Of the whole path: below the 1,024 of macOS, with room for the folder."""

_FIELD = re.compile(r"\{([a-z0-9]+)(?:\.([^{}:]+))?(?::0?([0-9]{1,2}))?\}")
_FORBIDDEN = frozenset('/\\:*?"<>|')
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, invisible and bidirectional marks, surrogates, private and unassigned, line and paragraph separators."""
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])\s*(\.|$)"
)
_SPECIAL = frozenset({"desktop.ini", "autorun.inf", "thumbs.db"})
"""Files that a desktop obeys when it opens the folder."""
_SUFFIX = re.compile(r"[a-z0-9]{1,8}")
_VAGUE = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/binary", "text/plain"})
"""Types that say less than the ending of a URL."""
_OWN = {
    "image/webp": "webp",
    "image/avif": "avif",
    "image/jpeg": "jpg",
    "text/plain": "txt",
    "application/gzip": "gz",
    "application/x-gzip": "gz",
    "application/zstd": "zst",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/vnd.apache.parquet": "parquet",
    "application/warc": "warc",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "audio/ogg": "ogg",
    "video/ogg": "ogv",
    "application/xhtml+xml": "xhtml",
    "application/rss+xml": "rss",
    "application/atom+xml": "atom",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a name can be made of."""

    index: int
    url: str
    """Where the body came from: the last hop's."""
    sha256: str
    content_type: str
    """Type and subtype in lower case; empty where there is none."""
    input: Mapping[str, Any] | None = None


@cache
def _known_types() -> mimetypes.MimeTypes:
    """Python's own, whatever the system's files say; when they are needed, since making them takes 5 ms."""
    return mimetypes.MimeTypes(filenames=())


def check(template: str) -> None:
    """Raise ValueError for a template that can't be filled."""
    rest = _FIELD.sub("x", template)
    if "{" in rest or "}" in rest:
        raise ValueError(f"{template!r}: write {{index}}, {{index:06}}, {{host}}, {{input.COLUMN}} and so on")
    for field, column, width in _FIELD.findall(template):
        if (field not in FIELDS and field != "input") or (field == "input") != bool(column):
            raise ValueError(f"{template!r}: {{{field}}} is none of {', '.join(FIELDS)}, input.COLUMN")
        if width and field != "index":
            raise ValueError(f"{template!r}: only index has a width")
    if rest.startswith(("/", "\\")) or ".." in rest.split("/") or not rest.rsplit("/", 1)[-1]:
        raise ValueError(f"{template!r}: a name in the folder, such as {{host}}/{{index}}.{{ext}}")


def is_unique(template: str) -> bool:
    """Whether no two rows can have the same name, on any file system."""
    return any(field == "index" for field, _, _ in _FIELD.findall(template.rsplit("/", 1)[-1]))


def parts(template: str, facts: Facts) -> list[str]:
    """
    The path, as the names of its folders and its file.

    Where the index is not in it, upper and lower case are made the same, so that what is two files here is not one on
    a system that sees no difference.
    """
    values = _values(facts)
    fold = not is_unique(template)

    def fill(match: re.Match[str]) -> str:
        field, column, width = match.groups()
        if field == "index":
            return str(facts.index).zfill(int(width or 0))
        value = _cell(facts.input, column) if column else values[field]
        if field != "path":
            value = value.replace("/", "_")
        return value.casefold() if fold else value

    return literal(_FIELD.sub(fill, template))


def literal(text: str) -> list[str]:
    """The path that a text asks for, whatever it says; slashes make folders."""
    found = [part(piece) for piece in text.split("/") if piece and piece != "."] or ["_"]
    if len("/".join(found).encode()) > PATH_BYTES or len(found) > 32:
        found = [_cut(found[0], text), _cut(found[-1], text)] if len(found) > 1 else found
    return found


def plain(facts: Facts) -> str:
    """A name that needs nothing of the folder, where the wished one is not to be had."""
    return parts(DEFAULT, facts)[0]


def numbered(name: str, index: int, again: int = 0) -> str:
    """The same name with the row's index before its ending, and with a further number where even that is taken."""
    stem, dot, ending = name.rpartition(".")
    mark = f"{index}-{again}" if again else f"{index}"
    return f"{stem}-{mark}{dot}{ending}" if stem else f"{name}-{mark}"


def part(text: str) -> str:
    """One part of a path that is a plain name on every system."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    text = "".join([char if _is_plain(char) else "_" for char in text]).strip(" ").rstrip(". ")
    if not text or text[0] in ".-~" or text.casefold() in _SPECIAL or _DEVICE.match(text.casefold()):
        text = "_" + text
    return text if len(text.encode()) <= PART_BYTES else _cut(text, text)


def extension(content_type: str, name: str) -> str:
    """The ending that a type asks for, or the name's own where the type says little; `bin` where neither says any."""
    suffix = name.rpartition(".")[2].casefold() if "." in name else ""
    if not _SUFFIX.fullmatch(suffix) or suffix.isdigit():
        suffix = ""
    if content_type in _VAGUE and suffix:
        return suffix
    known = _OWN.get(content_type)
    if known is None:
        known = (_known_types().guess_extension(content_type, strict=True) or "").removeprefix(".")
    return known or suffix or "bin"


def _is_plain(char: str) -> bool:
    if char.isascii():
        return char.isprintable() and char not in _FORBIDDEN
    category = unicodedata.category(char)
    return category not in _UNSEEN and category != "Zs"


def _values(facts: Facts) -> dict[str, str]:
    url = urlsplit(facts.url)
    name = url.path.rpartition("/")[2] or "index"
    stem = name.rpartition(".")[0] or name
    try:
        port = str(url.port or {"http": 80, "https": 443}.get(url.scheme, 0))
    except ValueError:
        port = "0"
    return {
        "sha256": facts.sha256,
        "ext": extension(facts.content_type, name),
        "scheme": url.scheme,
        "host": url.hostname or "_",
        "port": port,
        "path": url.path.strip("/") + ("/index" if url.path.endswith("/") and url.path.strip("/") else "") or "index",
        "name": name,
        "stem": stem,
        "query": url.query,
    }


def _cell(columns: Mapping[str, Any] | None, column: str) -> str:
    value = (columns or {}).get(column)
    return "_" if value is None or value == "" else str(value)


def _cut(name: str, whole: str) -> str:
    """At most `PART_BYTES`, told from others that begin the same by a digest of the whole."""
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > 16 or not ending.isascii():
        stem, dot, ending = name, "", ""
    mark = "-" + sha256(whole.encode("utf-8", "replace")).hexdigest()[:16]
    room = PART_BYTES - len(mark) - len(dot) - len(ending)
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + mark + dot + ending
