"""How a table leaves the service: CSV as a file, sent in pieces, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from starlette.responses import StreamingResponse

ROWS_AT_ONCE = 2000  # of one piece: a long table is never held whole
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a text that begins so

Row = Iterable[Any]


class Csv(StreamingResponse):
    """``rows`` under ``header`` as a file of that ``name``.

    None and floats that are not finite are empty fields; before a text that would be a formula stands an apostrophe.
    """

    media_type = "text/csv"

    def __init__(
        self, name: str, header: Row, rows: Iterable[Row], headers: dict[str, str], status_code: int = 200
    ) -> None:
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:120] or "table"
        told = {**headers, "content-disposition": f'attachment; filename="{safe}.csv"'}
        super().__init__(_pieces(chain([header], rows)), status_code, headers=told)


def _pieces(rows: Iterable[Row]) -> Iterator[str]:
    left = iter(rows)
    while some := list(islice(left, ROWS_AT_ONCE)):
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows([_field(value) for value in row] for row in some)
        yield text.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) and value != "-Infinity" else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
