"""Which path is answered by which fault. Knows the handlers' shape, none of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .exchange import Exchange

Handler = Callable[[Exchange], Awaitable[None]]

ROUTES: dict[str, Handler] = {}
"""By the first part of the path."""


def fault(*paths: str) -> Callable[[Handler], Handler]:
    """Name the paths that a handler answers."""

    def register(handler: Handler) -> Handler:
        for path in paths:
            if path in ROUTES:
                raise ValueError(f"{path} has a handler already")
            ROUTES[path] = handler
        return handler

    return register


def handler_of(path: str) -> Handler | None:
    """The handler of a request's path, by its first part."""
    return ROUTES.get("/" + path.lstrip("/").partition("/")[0])
