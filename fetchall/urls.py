"""
What a URL is: the WHATWG URL standard by its parser, its origin, and its form for people with secrets masked.

Knows nothing of HTTP: whether a target may be fetched, how, and with which credentials is decided elsewhere.
Where a line of a list is taken more strictly than the standard does, docs/urls.md has the table.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from unicodedata import category
from urllib.parse import unquote

from ada_url import join_url, normalize_url

from fetchall.records import ErrorType, Fault, Origin

PORTS = {"http": 80, "https": 443}
"""The schemes that are fetched, and their default ports (RFC 9110, section 4.2)."""

MASK = "***"

_LONGEST_NAME = 253
_LONGEST_LABEL = 63
_LONGEST_USERINFO = 8192  # what servers usually take as one header line; ten thousand `@` are no name
_LONGEST_AUTHORITY = len("https://") + _LONGEST_NAME + len(".:65535")

# What the standard removes before it parses: at both ends, and anywhere.
_ENDS = "".join(map(chr, range(0x21)))
_INSIDE = str.maketrans("", "", "\t\n\r")

# A URL that serialises to itself if its origin does: no dot segment, no character that would be percent-encoded.
_settled = re.compile(
    r"(https?://[a-z0-9.:-]+)(?:/(?![.%])[A-Za-z0-9_.~!$&()*+,;=:@%-]*)+(?:\?[A-Za-z0-9_.~!$&()*+,;=:@%/?-]*)?"
).fullmatch
_whole = re.compile(r"https?:[/\\]{2}[^/\\\t\n\r]", re.IGNORECASE | re.ASCII).match
_scheme = re.compile(r"([a-z][a-z0-9+.-]*):([/\\]*)", re.IGNORECASE | re.ASCII).match
_head = re.compile(r"[\x00-\x20]*(?:([a-z][a-z0-9+.\t\n\r-]*):)?([/\\\t\n\r]*)", re.IGNORECASE | re.ASCII).match
_likely_start = re.compile(r"https?[^@/\\]{0,8}[/\\]+|[/\\]{2,}", re.IGNORECASE | re.ASCII).search
_delimiter = re.compile(r"[/\\?#]").search
_port = re.compile(r"0*([0-9]{1,5})").fullmatch
_port_at = re.compile(r"[0-9]{1,5}(?:[/?#]|$)").match
_user_and_no_port = re.compile(r"[^:/\\?#\[\]]*:(?:[0-9\t\n\r]*[^0-9\t\n\r/\\?#]|0*[1-9][0-9]{5})").match

# Schemes whose `@` is part of an address or of data, and parts no secret from a host.
_NO_USERINFO = {"acct", "data", "javascript", "mailto", "news", "sip", "sips", "tel", "urn", "xmpp"}

_NO_SCHEME = "no scheme: write https://host/path or http://host/path"
_NO_SLASHES = "two slashes are missing: write http://host/path"
_NO_HOST = "no host: write http://host/path"


class Target(NamedTuple):
    """Where one hop goes."""

    href: str
    """Exactly what goes to the wire: the standard's serialisation without userinfo and fragment, printable ASCII."""
    origin: Origin
    user: str | None
    """Percent-decoded; bytes that are no UTF-8 stand as surrogate escapes, so encode with `surrogateescape`."""
    password: str | None
    """As `user`; None where the URL has none or an empty one, which the standard takes as the same."""
    shown: str
    """For rows and messages: `href` with the user's name, and `***` in place of a password or a lone token."""


def parse(text: str) -> Target | Fault:
    """Where a URL of a list goes; `invalid_url` or `unsupported_scheme` where it can't be fetched."""
    # Most URLs are written as they are serialised: a look is a fifth of the standard's whole procedure.
    settled = _settled(text)
    if settled is not None and settled.end(1) <= _LONGEST_AUTHORITY and (origin := _settled_origin(settled[1])):
        return Target(text, origin, None, None, text)
    if _whole(text) is None:
        text = text.strip(_ENDS).translate(_INSIDE)
        if _whole(text) is None:
            return _refusal(text)
    try:
        href = normalize_url(text)
    except ValueError:
        return Fault(ErrorType.INVALID_URL, _reason(text))
    return _target(href)


def follow(base: Target, location: bytes) -> Target | Fault:
    """
    Where a Location header points, from the target that answered with it; `bad_redirect` where that can't be fetched.

    Bytes beyond ASCII are percent-encoded as they are, as browsers do. The header's userinfo is in `user` and
    `password`, never in `shown`: a secret that a server made up is nobody's to keep.
    """
    text = re.sub(rb"[\x80-\xff]", lambda byte: b"%%%02X" % byte[0][0], location).decode("ascii")
    try:
        href = join_url(base.href, text)
    except ValueError:
        return Fault(ErrorType.BAD_REDIRECT, "redirected to what is no URL")
    scheme = href[: href.index(":")]
    if scheme not in PORTS:
        return Fault(ErrorType.BAD_REDIRECT, f"redirected to {scheme[:20]}: only http and https are followed")
    target = _target(href)
    if isinstance(target, Fault):
        return Fault(ErrorType.BAD_REDIRECT, f"redirected to what can't be fetched: {target.message}")
    return target._replace(shown=target.href)


def mask(text: str) -> str:
    """
    A URL as given, valid or not, with the password of its userinfo, or a lone token there, replaced by `***`.

    A name with an empty password is a lone token: some APIs take their keys so. Nothing else is altered, except
    where the text is no URL and a secret may be in what is replaced. Linear time.
    """
    if "@" not in text or (span := _userinfo(text)) is None:
        return text
    start, at = span
    user, colon, password = text[start:at].partition(":")
    if password.strip("\t\n\r"):
        return f"{text[:start]}{user}:{MASK}{text[at:]}"
    if user.strip("\t\n\r"):
        return f"{text[:start]}{MASK}{colon}{password}{text[at:]}"
    return text


def _userinfo(text: str) -> tuple[int, int] | None:
    """Where the userinfo of any text begins and where its `@` stands, as the standard reads it or a person meant it."""
    head = _head(text)
    scheme, slashes = ((head[1] or "").lower(), head[2]) if head else ("", "")
    whole = len(slashes) > (0 if scheme else 1)
    if head and (whole or scheme in PORTS):
        start = head.end()
    elif scheme in _NO_USERINFO:
        return None
    else:
        start = 0  # `user:password@host`: what looks like a scheme is the user
    if not whole and (found := _likely_start(text)) and "@" not in text[: found.start()]:
        start = found.end()  # something before the URL, or in its scheme: a quote, a no-break space, `url=`
    at = text.rfind("@", start, _end_of_authority(text, start))
    if at < 0 and whole and _user_and_no_port(text, start):
        at = text.rfind("@")  # a password with a bare `/`, `?` or `#` in it, which no parser takes for one
    return None if at < 0 else (start, at)


def _target(href: str) -> Target | Fault:
    """The target of a serialised http or https URL."""
    if "#" in href:
        href = href[: href.index("#")]
    end = href.find("/", len("https://"))
    authority = href[:end]
    if "@" in authority:
        return _with_userinfo(href, end)
    if end > _LONGEST_AUTHORITY:  # looked at here so that the cache holds short keys only
        return Fault(ErrorType.INVALID_URL, f"the host's name is longer than {_LONGEST_NAME} characters")
    origin = _origin(authority)
    if isinstance(origin, Fault):
        return origin
    return Target(href, origin, None, None, href)


def _with_userinfo(href: str, end: int) -> Target | Fault:
    """The same where a userinfo stands before the host; serialised, it has no other `:` and `@` than its own."""
    start = href.index("//") + 2
    at = href.index("@", start, end)
    if at - start > _LONGEST_USERINFO:
        return Fault(
            ErrorType.INVALID_URL, f"what stands before the host is longer than {_LONGEST_USERINFO} characters"
        )
    user, _, password = href[start:at].partition(":")
    target = _target(href[:start] + href[at + 1 :])
    if isinstance(target, Fault):
        return target
    return target._replace(
        user=unquote(user, errors="surrogateescape"),
        password=unquote(password, errors="surrogateescape") if password else None,
        shown=f"{href[:start]}{user}:{MASK}{href[at:]}" if password else f"{href[:start]}{MASK}{href[at:]}",
    )


@lru_cache(maxsize=8192)
def _origin(authority: str) -> Origin | Fault:
    """The origin of `scheme://host:port`, one object for all URLs of it that come close together."""
    scheme, _, rest = authority.partition("://")
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port[1:]
        problem = None
    else:
        host, _, port = rest.partition(":")
        problem = _unresolvable(host)
    if port == "0":
        problem = "port 0 can't be connected to"
    if problem:
        return Fault(ErrorType.INVALID_URL, problem)
    return Origin(scheme, host, int(port) if port else PORTS[scheme])


@lru_cache(maxsize=8192)
def _settled_origin(authority: str) -> Origin | None:
    """The origin of `scheme://host:port` where that is its own serialisation; None: the standard must look at it."""
    try:
        origin = _origin(authority) if normalize_url(authority) == f"{authority}/" else None
    except ValueError:
        return None
    return origin if isinstance(origin, Origin) else None


def _unresolvable(host: str) -> str | None:
    """Why no DNS name can look like this, though the standard lets it pass (RFC 1035, section 2.3.4; RFC 3492)."""
    name = host.removesuffix(".")
    if len(name) > _LONGEST_NAME:
        return f"the host's name is longer than {_LONGEST_NAME} characters"
    for label in name.split("."):
        if not label:
            return "the host's name has an empty part: two dots in a row, or one at its start"
        if len(label) > _LONGEST_LABEL:
            return f"a part of the host's name is longer than {_LONGEST_LABEL} characters"
        if label.startswith("xn--") and not _is_punycode(label[4:]):
            return "a part of the host's name begins with xn-- but stands for no text"
    return None


def _is_punycode(text: str) -> bool:
    """Whether it stands for a text that ASCII alone could not say. IDNA asks for more, browsers do not."""
    try:
        decoded = text.encode("ascii").decode("punycode")
    except UnicodeError:
        return False
    return not decoded.isascii() and not any(category(sign) in ("Cc", "Cs") for sign in decoded)


def _refusal(text: str) -> Fault:
    """Why a line that does not begin with http:// or https:// is not fetched, and what to write instead."""
    match = _scheme(text)
    if match is None:
        return Fault(ErrorType.INVALID_URL, _NO_SCHEME)
    scheme, slashes = match[1].lower(), match[2]
    if scheme in PORTS:
        return Fault(ErrorType.INVALID_URL, _NO_SLASHES if len(slashes) < 2 else _NO_HOST)
    if not slashes and (_port_at(text, match.end()) or mask(text) != text):
        return Fault(ErrorType.INVALID_URL, _NO_SCHEME)  # `host:8080/path`, `user:password@host`
    return Fault(ErrorType.UNSUPPORTED_SCHEME, f"{scheme[:20]} is not fetched: write an http or https URL")


def _reason(text: str) -> str:
    """What the parser, which says only no, probably found wrong in a line that begins well."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "not text: half of a surrogate pair is in it"
    start = text.index(":") + 3
    end = _end_of_authority(text, start)
    host = text[max(start, text.rfind("@", start, end) + 1) : end]
    if not host or host.startswith(":"):
        return _NO_HOST
    if host.startswith("["):
        return "not an IPv6 address: write http://[2001:db8::1]/ or http://[2001:db8::1]:8080/, without a zone"
    _, colon, port = host.partition(":")
    if colon and port and not ((number := _port(port)) and int(number[1]) < 65536):
        return "the port is not a number from 1 to 65535: write http://host:8080/"
    return "the host is neither a name nor an address: write http://host/path"


def _end_of_authority(text: str, start: int) -> int:
    """Where the path, the query or the fragment begins in a URL whose authority starts at `start`."""
    found = _delimiter(text, start)
    return found.start() if found else len(text)
