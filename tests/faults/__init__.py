"""The project's own fault server: a path for each thing that a hostile server does, and a count of what it saw."""

from __future__ import annotations

from .server import FaultServer

__all__ = ["FaultServer"]
