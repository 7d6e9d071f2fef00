"""
Which rows are written: `--match` keeps, `--filter` drops.

Pure: knows a row's keys. An expression is conditions with commas between them, all of which must hold; what follows a
comma and is no condition is one more value of the last: `status=200-299,404,type=image/*`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from fetchall.units import parse_codes, parse_size

Fields = Mapping[str, Any]
_CONDITION = re.compile(r"\s*(status|type|size|time|error|text)\s*(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda found, given: found == given,
    "<": lambda found, given: found < given,
    ">": lambda found, given: found > given,
    "<=": lambda found, given: found <= given,
    ">=": lambda found, given: found >= given,
}
HELP = "write status=200-299,404 or type=image/* or size>10k or time<=2.5 or error=timeout or text=word"


@dataclass(frozen=True, slots=True)
class Condition:
    """One key, an operator and its values, any of which will do."""

    key: str
    operator: str
    values: tuple[str, ...]

    def holds(self, row: Fields) -> bool:
        """Whether a row fulfils it; an unknown status, size or time fulfils nothing but `!=`."""
        if self.operator == "!=":
            return not any(self._is(row, "=", value) for value in self.values)
        return any(self._is(row, self.operator, value) for value in self.values)

    def _is(self, row: Fields, operator: str, value: str) -> bool:
        if self.key in ("size", "time"):
            found = row["size"] if self.key == "size" else row["elapsed"]
            return found is not None and _measures(found, operator, value, _units(self.key))
        if self.key == "status":
            return row["status"] is not None and any(
                first <= row["status"] <= last for first, last in parse_codes(_codes(value))
            )
        if self.key == "type":
            return fnmatchcase((row["content_type"] or "").partition(";")[0].strip().lower(), value.lower())
        if self.key == "error":
            return fnmatchcase(row["error_type"] or "none", value) and (value != "*" or row["error_type"] is not None)
        return _text_of(row, value)


Expression = tuple[Condition, ...]


def parse(text: str) -> Expression:
    """The conditions of an expression; raises ValueError."""
    found: list[tuple[str, str, list[str]]] = []
    for piece in text.split(","):
        match = _CONDITION.fullmatch(piece)
        if match is not None:
            found.append((match[1], match[2], [match[3].strip()]))
        elif found:
            found[-1][2].append(piece.strip())
        else:
            raise ValueError(f"{text!r}: {HELP}")
    conditions = tuple(Condition(key, operator, tuple(values)) for key, operator, values in found)
    for each in conditions:
        _check(each)
    return conditions


@dataclass(frozen=True, slots=True)
class Choice:
    """Rows that fulfil one of `match` (any row where there is none) and none of `drop`."""

    match: Sequence[Expression]
    drop: Sequence[Expression]

    @classmethod
    def of(cls, match: Sequence[str], drop: Sequence[str]) -> Choice:
        """As the options say it; raises ValueError."""
        return cls([parse(text) for text in match], [parse(text) for text in drop])

    @property
    def needs_text(self) -> bool:
        """A condition is about the body."""
        return any(each.key == "text" for expression in (*self.match, *self.drop) for each in expression)

    def keeps(self, row: Fields) -> bool:
        """Whether a row is written."""
        if self.match and not any(all(each.holds(row) for each in expression) for expression in self.match):
            return False
        return not any(all(each.holds(row) for each in expression) for expression in self.drop)


def _check(condition: Condition) -> None:
    key, operator = condition.key, condition.operator
    if key not in ("size", "time") and operator not in ("=", "!="):
        raise ValueError(f"{key}{operator}: {key} is = or != something")
    for value in condition.values:
        if not value and key != "type":
            raise ValueError(f"{key}{operator} nothing: {HELP}")
        if key == "status":
            parse_codes(_codes(value))
        elif key in ("size", "time"):
            ends = _range(value) if operator in ("=", "!=") else (value,)
            for end in ends:
                _units(key)(end)


def _measures(found: float, operator: str, value: str, units: Callable[[str], float]) -> bool:
    ends = _range(value) if operator == "=" else (value,)
    if len(ends) == 2:
        return units(ends[0]) <= found <= units(ends[1])
    return _COMPARE[operator](found, units(value))


def _units(key: str) -> Callable[[str], float]:
    return parse_size if key == "size" else _seconds


def _seconds(text: str) -> float:
    try:
        return float(text.strip().removesuffix("s"))
    except ValueError:
        raise ValueError(f"{text!r} is not a number of seconds") from None


def _range(value: str) -> tuple[str, ...]:
    first, dash, last = value.partition("-")
    return (first, last) if dash else (value,)


def _codes(value: str) -> str:
    return f"{value[0]}00-{value[0]}99" if re.fullmatch("[1-9]xx", value.lower()) else value


def _text_of(row: Fields, value: str) -> bool:
    text = row.get("body_text")
    if text is None and row.get("body_json") is not None:
        text = json.dumps(row["body_json"], ensure_ascii=False)
    return text is not None and value in text
