"""doctor: says what is damaged, builds anew what follows from what is kept, and then the store is what it was."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from asked import asked
from epochscope import wire
from epochscope_server.store import fields, sealing_series
from epochscope_server.store.formats import marginals, node, rollup
from epochscope_server.store.schema import (
    count_marginal,
    count_node,
    flush_body,
    run_value,
    series_chunk,
)
from epochscope_server.store.sqlite import FILE
from sealing import Store
from spoiled import empty_index
from stage import counted, url_of

pytestmark = pytest.mark.slow  # stores of thousands of batches, each damaged and mended

STEPS, PORTION = 9000, 750  # two levels of sums, and of curves
BUILT = (count_node, count_marginal, series_chunk)
Damage = Callable[[sa.Connection], Any]


def flush_of(uid: str, seq: int, info: wire.RunInfo | None) -> wire.Flush:
    chance = np.random.default_rng([len(uid), seq])
    first = (seq - 1) * PORTION + 1
    batches = list(zip(chance.integers(0, 3, (PORTION, 4)), chance.integers(0, 3, (PORTION, 4)), strict=True))
    points = wire.SeriesColumns.of("loss", "train", "batch", range(first, first + PORTION), chance.normal(size=PORTION))
    return wire.Flush(wire.VERSION, uid, "stream00", seq, 1, info, [points], [counted(batches, first)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a long run that is sealed, but for its last flush, and a short one."""
    made: Path = tmp_path_factory.mktemp("doctor") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing_series, "FULL", 256)
        patch.setattr(sealing_series, "ROLLED", 12)
        store = Store(made)
        outputs = [wire.Output("output", ("a", "b", "c"))]
        for uid, last in (("longrun0", STEPS // PORTION), ("shortrun", 1)):
            info = wire.RunInfo("p", uid, 1, params={"lr": 0.5, "optimizer": "adam"}, outputs=outputs)
            for seq in range(1, last + 1):
                store.post(flush_of(uid, seq, info if seq == 1 else None))
            store.seal(uid)
            store.post(flush_of(uid, last + 1, None))
        while store.writer.submit(lambda connection: fields.index(connection, 10)).result():
            pass
        store.close()
        yield made


@contextmanager
def changing(folder: Path) -> Iterator[sa.Connection]:
    url = url_of(folder)
    address = url.replace("postgresql://", "postgresql+psycopg://") if url else f"sqlite:///{folder}/epochscope.db"
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def content(folder: Path) -> dict[str, list[Any]]:
    """Every block there is, without the revision that wrote it."""
    found = {}
    with changing(folder) as connection:
        for table in BUILT:
            columns = [column for column in table.columns if column.name != "written"]
            rows = connection.execute(sa.select(*columns).order_by(*table.primary_key))
            found[table.name] = [tuple(row) for row in rows]
    return found


Doctor = Callable[..., tuple[int, str]]


@pytest.fixture
def doctor(folder: Path) -> Doctor:
    """The command: its exit code and what it says."""

    def ask(*words: str) -> tuple[int, str]:
        where = ["--database", url] if (url := url_of(folder)) else []
        answer = asked("doctor", "--data-dir", folder, *where, *words)
        return answer.returncode, answer.stdout + answer.stderr

    return ask


def at(table: sa.Table, **place: int) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in {"run_id": 1, **place}.items()]


def gone(table: sa.Table, **place: int) -> Damage:
    return lambda connection: connection.execute(table.delete().where(*at(table, **place)))


def flipped(table: sa.Table, name: str = "data", **place: int) -> Damage:
    """One bit of one block."""

    def flip(connection: sa.Connection) -> None:
        (data,) = connection.execute(sa.select(table.c[name]).where(*at(table, **place))).one()
        changed = bytearray(data)
        changed[len(changed) // 2] ^= 4
        connection.execute(table.update().where(*at(table, **place)).values({name: bytes(changed)}))

    return flip


def told_otherwise(table: sa.Table, change: Callable[[bytes], bytes], **place: int) -> Damage:
    """A block that can be read and is wrong."""

    def tell(connection: sa.Connection) -> None:
        (data,) = connection.execute(sa.select(table.c.data).where(*at(table, **place))).one()
        connection.execute(table.update().where(*at(table, **place)).values(data=change(data)))

    return tell


def one_more(data: bytes) -> bytes:
    counts = node.decode(data)
    counts.count[0] += 1
    return node.encode(counts, 3)


def one_less(data: bytes) -> bytes:
    sums = marginals.decode(data, 3)
    sums[0, *np.argwhere(sums[0])[0]] -= 1
    return marginals.encode(sums)


def first_bucket(data: bytes) -> bytes:
    return rollup.encode(rollup.decode(data)[:1])


def stray(connection: sa.Connection) -> None:
    row = {"run_id": 999, "counts_id": 0, "level": 0, "idx": 1, "written": 1, "data": b"?"}
    connection.execute(count_node.insert().values(row))


def too_early(connection: sa.Connection) -> None:
    data = connection.scalar(sa.select(count_node.c.data).where(*at(count_node, counts_id=0, level=2, idx=0)))
    row = {"run_id": 1, "counts_id": 0, "level": 2, "idx": 7, "written": 1, "data": data}
    connection.execute(count_node.insert().values(row))


def first_rollup_gone(connection: sa.Connection) -> None:
    first = sa.select(sa.func.min(series_chunk.c.idx)).where(*at(series_chunk, level=1)).scalar_subquery()
    connection.execute(series_chunk.delete().where(*at(series_chunk, level=1), series_chunk.c.idx == first))


MENDED = {
    "a sum is gone": (gone(count_node, level=1, idx=3), "sums of steps 1536 to 2047 are missing"),
    "all sums are gone": (
        lambda connection: connection.execute(count_node.delete().where(count_node.c.level > 0)),
        "sums of steps 512 to 1023 are missing",
    ),
    "a sum has a bit flipped": (flipped(count_node, level=2, idx=1), "can't be read (node"),
    "a sum counts one too many": (told_otherwise(count_node, one_more, level=1, idx=0), "does not follow"),
    "a sum of steps that are not over": (too_early, "does not follow"),
    "all curves are gone": (gone(count_marginal), "curves of steps 0 to 1023 are missing"),
    "curves have a bit flipped": (flipped(count_marginal, level=0, idx=7), "can't be read (marginals"),
    "curves count one too few": (told_otherwise(count_marginal, one_less, level=1, idx=0), "does not follow"),
    "summaries are gone": (gone(series_chunk, level=1), "summaries 1 of points from 0 are missing"),
    "the first summary is gone": (first_rollup_gone, "summaries 1 of points from 0 are missing"),
    "the summary of summaries is gone": (gone(series_chunk, level=2), "summaries 2 of points from 0 are missing"),
    "a summary is cut off": (told_otherwise(series_chunk, first_bucket, level=2, idx=0), "does not follow"),
    "rows of nobody": (stray, "table count_node has rows of run number 999, which is not there"),
    "another value is searched": (
        lambda connection: connection.execute(run_value.update().values(number=7, text=None)),
        "run longrun0: the search finds it by other",
    ),
}  # fmt: skip
QUICK = ("a sum counts one too many", "all curves are gone", "the first summary is gone", "rows of nobody")
KEPT_ONCE = {
    "a leaf": (flipped(count_node, level=0, idx=20), count_node, "counts of train in steps 1280 to 1343 can't be read"),
    "points": (flipped(series_chunk, level=0, idx=0), series_chunk, "loss of train by batch, points 1 to"),
    "a flush": (flipped(flush_body, "body"), flush_body, "flush 13 of stream 0 is damaged"),
}


def test_a_store_that_is_well_is_said_to_be_and_what_each_run_takes(doctor: Doctor, folder: Path) -> None:
    code, said = doctor()
    assert (code, said.splitlines()[-1]) == (0, said.splitlines()[-1])
    assert re.fullmatch(r"epochscope: 2 runs, \d+ blocks checked: all is well", said.splitlines()[-1]), said
    assert said.splitlines()[1].startswith("longrun0  ")
    assert said.splitlines()[1].endswith("kB  p / longrun0")
    code, said = doctor("--json")
    with changing(folder) as connection:
        for run_id, told in enumerate(json.loads(said)["runs"], 1):
            counted = sa.select(sa.func.sum(sa.func.length(count_node.c.data))).where(count_node.c.run_id == run_id)
            assert told["counts"] == connection.scalar(counted)
            assert told["total"] == sum(told[kind] for kind in ("log", "counts", "curves", "series"))


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MENDED]
)
def test_what_follows_from_what_is_kept_is_built_anew(doctor: Doctor, folder: Path, name: str) -> None:
    damage, word = MENDED[name]
    before = content(folder)
    with changing(folder) as connection:
        damage(connection)
    damaged = content(folder)
    code, said = doctor()
    assert code == 1
    assert f"WRONG   {'' if 'table' in word else 'run longrun0: '}" in said
    assert word in said
    assert content(folder) == damaged, "to look changes nothing"
    code, said = doctor("--rebuild")
    assert code == 0, said
    assert word in said
    assert "WRONG" not in said
    assert re.search(r"all \d+ mended\n", said)
    assert content(folder) == before
    if name == "another value is searched":
        index_again(folder)
    assert doctor()[0] == 0


def index_again(folder: Path) -> None:
    """What a service does when it runs."""
    store = Store(folder)
    assert store.writer.submit(lambda connection: fields.index(connection, 10)).result()
    store.close()


@pytest.mark.parametrize("name", KEPT_ONCE)
def test_what_is_kept_but_once_is_named_and_left_as_it_is(doctor: Doctor, folder: Path, name: str) -> None:
    damage, table, word = KEPT_ONCE[name]
    with changing(folder) as connection:
        before = connection.execute(sa.select(table).where(table.c.run_id == 1)).mappings().all()
        damage(connection)
    damaged = content(folder)
    try:
        for words in ((), ("--rebuild",)):
            code, said = doctor(*words)
            assert code == 1
            assert word in said
            assert said.count("WRONG") == 1
            assert content(folder) == damaged
        assert "0 mended, 1 wrong and kept nowhere else; a backup may have it" in said
    finally:
        with changing(folder) as connection:
            connection.execute(table.delete().where(table.c.run_id == 1))
            connection.execute(table.insert(), [dict(row) for row in before])


@pytest.mark.skipif(
    os.environ.get("EPOCHSCOPE_TEST_DATABASE") == "postgres", reason="PostgreSQL sees to its indexes itself"
)
def test_an_index_that_lacks_rows_is_made_anew(doctor: Doctor, folder: Path) -> None:
    empty_index(folder / FILE, "ix_run_change")
    code, said = doctor()
    assert code == 1
    assert "WRONG   file: row 1 missing from index ix_run_change" in said
    code, said = doctor("--rebuild")
    assert code == 0, said
    assert "mended  file: row 1 missing from index ix_run_change" in said
    assert doctor()[0] == 0


def test_where_there_is_no_store_it_says_so_and_makes_none(tmp_path: Path) -> None:
    answer = asked("doctor", "--data-dir", tmp_path / "nothing")
    assert answer.returncode == 1
    assert "there is no store" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert not (tmp_path / "nothing").exists()
