"""Tables and queries of a real Postgres server: what they hold, and what is said of mistakes."""

from __future__ import annotations

import datetime
import sys

import pandas as pd
import pytest
from postgres import Postgres

from gatewright.adapters.databases import BLOCK, name_of, without_password
from gatewright.adapters.source_files import read_source, stem_of
from gatewright.errors import Misuse, Refused, Undecided
from gatewright.sources.guess_types import guess_type

KINDS = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE kinds (
  id bigserial PRIMARY KEY, "Größe in cm" numeric(10, 2), count smallint, ratio real, paid boolean,
  day date, sold timestamp, seen timestamptz, who uuid, feels mood, told text, code char(3),
  extra jsonb, many integer[], raw bytea, took interval, clock time, host inet, large numeric(30, 0)
);
INSERT INTO kinds VALUES
  (1, 170.25, 3, 0.5, true, '2024-02-29', '2024-02-29 08:30', '2024-02-29 08:30+09',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'glad', 'Ärger, "groß"', 'abc', '{"a": 1}', '{1,2}',
   '\\xdeadbeef', '1 hour', '08:30', '10.0.0.1', 123456789012345678901234567890),
  (2, NULL, NULL, 'NaN', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL),
  (3, 1.5, 4, 2.5, false, '2024-03-01', '2024-03-01 09:00', '2024-03-01 00:00+00',
   'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'sad', '', 'x', '{}', '{}', '', '2 days', '23:59',
   '::1', 5);
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.orders AS SELECT id, count FROM kinds;
CREATE VIEW adults AS SELECT id FROM kinds WHERE count > 2;
"""
SALES = "SELECT * FROM sales"


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Postgres:
    postgres.run(KINDS)
    return postgres


def test_each_type_is_read_as_what_it_is(server: Postgres) -> None:
    table = read_source(server.url(), "kinds").table
    rows = table.to_pandas()
    assert rows["Größe in cm"].tolist()[::2] == [170.25, 1.5]
    assert rows["paid"].tolist() == [True, None, False]
    assert rows["told"].tolist()[::2] == ['Ärger, "groß"', ""]
    assert rows["feels"].tolist()[::2] == ["glad", "sad"]
    assert rows["host"].tolist()[::2] == ["10.0.0.1", "::1"]
    assert rows["seen"][0] == pd.Timestamp("2024-02-28 23:30", tz="UTC")
    kinds = {}
    for name in table.column_names:
        guess = guess_type(table.column(name), name)
        kinds[name] = guess.how.type if guess.how else None
    assert kinds == {
        **{"id": "integer", "Größe in cm": "number", "count": "integer", "ratio": "number"},
        **{"paid": "boolean", "day": "datetime", "sold": "datetime", "seen": "datetime"},
        **{"who": "string", "feels": "string", "told": "string", "code": "string"},
        **{"host": "string", "large": "integer"},
        **dict.fromkeys(("extra", "many", "raw", "took", "clock"), None),  # left out, told
    }


def test_a_table_a_view_a_schema_and_a_query(server: Postgres) -> None:
    url = server.url()
    assert read_source(url, "adults").table.num_rows == 2
    assert read_source(url, "elsewhere.orders").table.column_names == ["id", "count"]
    asked = "WITH few AS (SELECT * FROM kinds) SELECT id::text FROM few WHERE count = 4"
    assert read_source(url, asked).table.to_pydict() == {"id": ["3"]}
    assert read_source(url.replace("postgresql", "postgres"), "adults").table.num_rows == 2


def test_many_rows_are_read_in_blocks_of_one_type(server: Postgres) -> None:
    """A column that is empty at first, and one that becomes fractional."""
    n = 2 * BLOCK + 7
    query = "SELECT n, CASE WHEN n > {0} THEN 'late' END AS said, "
    query += "CASE WHEN n > {0} THEN n / 2.0 ELSE 1 END AS number FROM generate_series(1, {1}) AS n"
    query = query.format(BLOCK, n)
    rows = read_source(server.url(), query).table.to_pandas()
    assert len(rows) == n
    assert rows["n"].tolist() == list(range(1, n + 1))
    assert rows["said"].notna().sum() == n - BLOCK
    assert rows["number"].iloc[-1] == n / 2


def test_what_does_not_fit_into_memory_is_refused(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.adapters.databases.available", lambda: 1_000_000)
    with pytest.raises(Refused, match=r"does not fit into memory \(0.0 GB so far\)"):
        read_source(server.url(), "SELECT n, repeat('x', 99) FROM generate_series(1, 50000) n")


@pytest.mark.parametrize("query", [f"{SALES} WHERE sold > :since", f"{SALES} WHERE seen > :since"])
def test_what_came_since_is_asked_in_utc(query: str, server: Postgres) -> None:
    """Whatever zone the server thinks in, and whether the column has one."""
    server.run(
        "DROP TABLE IF EXISTS sales",
        "CREATE TABLE sales (sold timestamp, seen timestamptz)",
        "INSERT INTO sales SELECT moment, moment AT TIME ZONE 'UTC' FROM generate_series("
        "'2024-01-01'::timestamp, '2024-01-01 23:00', '1 hour') AS moment",
    )
    since = {"since": datetime.datetime(2024, 1, 1, 20, 0, 0)}
    rows = read_source(server.url(), query, since).table.to_pandas()
    assert rows["sold"].dt.hour.tolist() == [21, 22, 23]
    assert rows["seen"].dt.hour.tolist() == [21, 22, 23]


def test_a_mistake_is_one_sentence_without_the_password(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, closed = server.url(), "postgresql://keeper:hush@127.0.0.1:1/x"
    mistakes: dict[str, tuple[str, str | None, type[Exception]]] = {
        "password authentication failed": (server.url("hush-other"), None, Refused),
        'database "none" does not exist': (server.url(database="none"), None, Refused),
        "tables: name one, or a query": (good, None, Misuse),
        "has no table nowhere. There are: adults, kinds": (good, "nowhere", Misuse),
        "has no table elsewhere.none": (good, "elsewhere.none", Misuse),
        'column "nothing" does not exist': (good, "SELECT nothing FROM kinds", Refused),
        "connection refused": (closed, None, Refused),
        "is written as %40": ("postgresql://keeper:hu@sh@127.0.0.1/x", None, Misuse),
        "is no address of a database": ("postgresql://keeper:hush@h:po/rt", None, Misuse),
    }
    for words, (place, query, kind) in mistakes.items():
        with pytest.raises(kind) as refusal:
            read_source(place, query)
        said = str(refusal.value)
        assert words.casefold() in said.casefold()
        assert "hush" not in said
        assert "\n" not in said
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Undecided, match=r"uv add --dev 'gatewright\[adopt,postgres\]'") as missing:
        read_source(good)
    assert "hush" not in str(missing.value)


PLACES = {
    "postgresql://u:hush@host/shop": ("postgresql://…@host/shop", "shop"),
    "postgresql://u:hu@sh@host:1/shop?sslpassword=hush": ("postgresql://…@host:1/shop?…", "shop"),
    "postgresql://u:hu/sh@host": ("postgresql://…@host", "table"),
    "postgresql://u:[hush#1@host/shop": ("postgresql://…@host/shop", "shop"),
    "postgresql://host/shop?password=hush": ("postgresql://host/shop?…", "shop"),
    "https://host/a/b.csv.gz?token=hush": ("https://host/a/b.csv.gz?…", "b"),
    "file:///a/b.csv": ("file:///a/b.csv", "b"),
    "/a/what? it@is.csv": ("/a/what? it@is.csv", "what-it-is"),
}


@pytest.mark.parametrize("place", PLACES)
def test_nothing_secret_of_a_place_is_shown(place: str) -> None:
    shown, stem = PLACES[place]
    assert without_password(place) == shown
    assert stem_of(place) == stem
    assert "hush" not in name_of(place)
