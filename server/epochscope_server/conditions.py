"""Conditions on params and summary values, and the order of a list: read from a query, judged in plain Python.

`store/listing.py` says the same in SQL, and asks here about runs that have changed since its tables were written.
"""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from epochscope_server.errors import InvalidError

MOST = 20  # conditions of one request
LONGEST = 1000  # characters of one condition
KEPT = 200  # characters of a text that are compared as they are
COLUMNS = ("created", "heard", "name", "project")  # what a list may be sorted by besides fields, every run has them
GLANCED = ("worst", "drop")  # and by what it shows of runs at a glance: F1 of the worst class, the certified drop

Value = float | str  # what is compared: a number, or a text
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FIELD = r'(params|summary)\.(?:"((?:[^"\\]|\\.)+)"|([^\s"=!<>]|[^\s"=!<>][^"=!<>]*[^\s"=!<>]))'
_ORDER = re.compile(rf"(-?)(?:{_FIELD}|({'|'.join(COLUMNS + GLANCED)}))", re.DOTALL)
_CONDITION = re.compile(rf"\s*{_FIELD}\s*(<=|>=|!=|<|>|=)\s*+(?![=!<>~])(.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?Infinity")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


@dataclass(frozen=True)
class Field:
    """A param or a summary value by its name; ``kind`` is "params" or "summary"."""

    kind: str
    name: str


@dataclass(frozen=True)
class Condition:
    """``field`` compares so with ``value``. A run that lacks it, or has NaN there, meets no condition on it."""

    field: Field
    sign: str
    value: Value

    def holds(self, value: Value | None) -> bool:
        """Whether ``value`` meets it: numbers compare with numbers only, texts with texts; others are but unequal."""
        if value is None:
            return False
        if isinstance(value, str) != isinstance(self.value, str):
            return self.sign == "!="
        return bool(OPERATORS[self.sign](value, self.value))


@dataclass(frozen=True)
class Order:
    """By one of COLUMNS or GLANCED, or by a field, ``down`` for the greatest first.

    Runs without a value come last either way.
    """

    by: str | Field
    down: bool

    def __str__(self) -> str:
        name = self.by if isinstance(self.by, str) else f"{self.by.kind}.{self.by.name}"
        return ("-" if self.down else "") + name


def comparable(shown: Any) -> Value | None:
    """What a value that is shown as ``shown`` compares as; None where it has nothing to compare (absent, NaN)."""
    if isinstance(shown, bool):
        return "true" if shown else "false"
    if isinstance(shown, int | float):
        return float(shown)
    if not isinstance(shown, str) or shown == "NaN":
        return None
    return float(shown.lower()) if shown in ("Infinity", "-Infinity") else clipped(shown)


def clipped(text: str) -> str:
    """A text as it is compared: short enough for an index, still different where the whole is different."""
    text = text.replace("\0", "\ufffd")
    if len(text) <= KEPT:
        return text
    return text[:KEPT] + hashlib.sha256(text.encode()).hexdigest()


def conditions(asked: Iterable[str]) -> tuple[Condition, ...]:
    """The conditions of a query, each like ``params.lr<0.001``.

    A value that looks like a number is one; in double quotes it is a text. A name with one of ``=!<>"`` in it stands
    in double quotes as well.

    Raises:
        InvalidError: one can't be read, and how to write it.
    """
    read = tuple(_condition(text) for text in asked)
    if len(read) > MOST:
        raise InvalidError("too_many_conditions", f"At most {MOST} conditions at once, not {len(read)}", "where")
    return read


def order(asked: str) -> Order:
    """What a list is sorted by: ``created``, ``worst``, ``-summary.val_macro_f1``, ``params."a=b"``.

    Raises:
        InvalidError: it can't be read, and what it may be.
    """
    found = _ORDER.fullmatch(asked)
    if found is None:
        raise InvalidError(
            "unknown_sort",
            f"sort must be one of {', '.join(COLUMNS + GLANCED)}, params.NAME or summary.NAME, with - before it to "
            "reverse",
            "sort",
        )
    sign, kind, quoted, plain, column = found.groups()
    return Order(column or Field(kind, _name(quoted, plain)), sign == "-")


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None or len(text) > LONGEST:
        shown = text if len(text) <= 100 else text[:100] + "..."
        raise InvalidError(
            "bad_where",
            f"{shown!r} can't be read as a condition: write params.NAME or summary.NAME, one of "
            f"{' '.join(OPERATORS)}, and a value, as in params.lr<0.001 or params.optimizer=adam",
            "where",
        )
    kind, quoted, plain, sign, literal = found.groups()
    field = Field(kind, _name(quoted, plain))
    if _NUMBER.fullmatch(literal):
        return Condition(field, sign, float(literal))
    if literal.lower() == "nan":
        raise InvalidError("bad_where", f"{text!r} can't be met: NaN compares with nothing", "where")
    if whole := _QUOTED.fullmatch(literal):
        literal = _unescaped(whole[1])
    return Condition(field, sign, clipped(literal))


def _name(quoted: str | None, plain: str) -> str:
    return plain if quoted is None else _unescaped(quoted)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
