"""A file system for fsspec whose files are in a folder, and which refuses what a file named `refuses` there says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from tests.command import ROOT

ENTRY = "[fsspec.specs]\nshelf = tests.shelf.Shelf\n"
SECRET = "open-sesame"


class Shelf(LocalFileSystem):  # type: ignore[misc]
    """`shelf://name` is a file in the folder that the environment's SHELF names; a user and password lead nowhere."""

    protocol = "shelf"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        name = str(path)
        if name.startswith("shelf://"):
            name = os.path.join(os.environ["SHELF"], name.removeprefix("shelf://").rpartition("@")[2])
        return str(super()._strip_protocol(name))

    def info(self, path: str, **options: Any) -> Any:
        self._may("info")
        return super().info(path, **options)

    def put_file(self, source: str, target: str, **options: Any) -> None:
        """Half of the file is there when it is refused."""
        data = Path(source).read_bytes()
        Path(target).write_bytes(data[: len(data) // 2])
        self._may("put")
        Path(target).write_bytes(data)

    def mv(self, source: str, target: str, **options: Any) -> None:
        self._may("mv")
        super().mv(source, target, **options)

    def _may(self, step: str) -> None:
        refusals = Path(os.environ["SHELF"], "refuses")
        if refusals.exists() and step in refusals.read_text().split():
            raise RuntimeError(f"no place for shelf://user:{SECRET}@x\nand more lines")


def on_the_path(folder: Path) -> str:
    """A PYTHONPATH with which fsspec finds the shelf as it finds file systems that are installed."""
    described = folder / "shelf-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1\n")
    (described / "entry_points.txt").write_text(ENTRY)
    return f"{ROOT}{os.pathsep}{folder}"
