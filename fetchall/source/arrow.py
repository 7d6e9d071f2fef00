"""
Arrow's arrays as Python values that JSON can say, nested ones too.

Knows Arrow's types; it must not know files. Imported only where pyarrow is installed.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def values(array: Any) -> list[Any]:
    """
    A Python value for each of an array's, as JSON has them; Parquet nests at most 100 levels, JSON's writer 254.

    Times of day and dates are RFC 3339 text, in UTC and with `Z` where the column has a time zone, without an offset
    where it has none; decimals are text, bytes base64, durations seconds.
    """
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_dictionary(kind):
        return values(array.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return values(pc.run_end_decode(array))
    if pa.types.is_map(kind):
        return _maps(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = pc.list_value_length(array).to_pylist()
        return list(_pieces(values(array.flatten()), lengths))
    if pa.types.is_struct(kind):
        return _structs(array)
    for is_kind, convert in _CONVERSIONS:
        if is_kind(kind):
            return convert(array)
    found: list[Any] = array.to_pylist()
    return found


def _pieces(flat: Iterable[Any], lengths: Iterable[int | None]) -> Iterator[list[Any] | None]:
    flat = iter(flat)
    for length in lengths:
        yield None if length is None else list(islice(flat, length))


def _structs(array: Any) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [values(column) for column in array.flatten()]
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    present = array.is_valid().to_pylist()
    return [dict(zip(names, row, strict=True)) if valid else None for row, valid in zip(rows, present, strict=True)]


def _maps(array: Any) -> list[Any]:
    """An object where the keys are text, else a list of pairs."""
    pairs = pa.struct([pa.field("key", array.type.key_type), pa.field("value", array.type.item_type)])
    listed = values(array.cast(pa.list_(pairs)))
    if pa.types.is_string(array.type.key_type) or pa.types.is_large_string(array.type.key_type):
        return [row if row is None else {pair["key"]: pair["value"] for pair in row} for row in listed]
    return [row if row is None else [[pair["key"], pair["value"]] for pair in row] for row in listed]


def _text(array: Any) -> list[Any]:
    found: list[Any] = array.cast(pa.string()).to_pylist()
    return found


def _moments(array: Any) -> list[Any]:
    if array.type.tz is not None:
        array = array.cast(pa.timestamp(array.type.unit, "UTC"))
    return [text if text is None else text.replace(" ", "T", 1) for text in _text(array)]


def _seconds(array: Any) -> list[Any]:
    scale = _SECONDS[array.type.unit]
    return [count if count is None else count / scale for count in array.cast(pa.int64()).to_pylist()]


def _base64(array: Any) -> list[Any]:
    return [data if data is None else b64encode(data).decode("ascii") for data in array.to_pylist()]


def _floats(array: Any) -> list[Any]:
    found: list[Any] = array.cast(pa.float32()).to_pylist()
    return found


_CONVERSIONS: tuple[tuple[Callable[[Any], bool], Callable[[Any], list[Any]]], ...] = (
    (pa.types.is_timestamp, _moments),
    (pa.types.is_date, _text),
    (pa.types.is_time, _text),
    (pa.types.is_decimal, _text),
    (pa.types.is_duration, _seconds),
    (pa.types.is_binary, _base64),
    (pa.types.is_large_binary, _base64),
    (pa.types.is_fixed_size_binary, _base64),
    (pa.types.is_binary_view, _base64),
    (pa.types.is_float16, _floats),
)
