"""Tables and queries of a database that SQLAlchemy knows: SQLite, Postgres and others.

The rows are read in blocks, so that what is held as Python's objects is never more than one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from gatewright.adapters.memory import available
from gatewright.errors import Misuse, Refused

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection, Executable

BLOCK = 20_000  # rows
SHARE = 0.4  # of the memory, for the columns: what comes after holds them once more
_POSTGRES = ("postgres", "postgresql")
_NAME = re.compile(r"\S+")  # one word is no query


def without_password(place: str) -> str:
    """A place to be shown: without who may enter it, and without its query, which may say so."""
    start, mark, rest = place.partition("://")
    if not mark:
        return place
    shown = f"…@{rest.rpartition('@')[2]}" if "@" in rest else rest
    bare, asked, _ = shown.partition("?")
    return f"{start}://{bare}{'?…' if asked else ''}"


def name_of(place: str) -> str:
    """What a place is called, for people: the last part of its path. Nothing secret is in it."""
    shown = without_password(place)
    if "://" not in place:
        return PurePosixPath(shown).name
    _, _, path = re.split("[?#]", shown.partition("://")[2])[0].partition("/")
    return PurePosixPath(path).name or "table"


def read_database(url: str, query: str | None, values: Mapping[str, Any]) -> pa.Table:
    """The rows of a table or a query. Raises Misuse for what is no address or no such table,
    Refused for what the database does not give, and ImportError where its driver is missing.
    """
    import pyarrow as pa
    import sqlalchemy as sa

    shown = without_password(url)
    try:
        address = sa.make_url(url)
        if address.drivername in _POSTGRES:
            address = address.set(drivername="postgresql+psycopg")
        engine = sa.create_engine(address)
    except (sa.exc.ArgumentError, ValueError) as error:
        # Its words hold the address.
        raise Misuse(f"{shown} is no address of a database ({type(error).__name__}).") from None
    if "@" in (address.host or ""):
        raise Misuse(f"{shown} has a password with the sign @, which is written as %40.")
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":  # what :since is compared by
                connection.execute(sa.text("SET TIME ZONE 'UTC'"))
            statement = _statement(connection, shown, query, values)
            streamed = connection.execution_options(stream_results=True)
            with streamed.execute(statement) as result:
                names = [*map(str, result.keys())]
                blocks: list[list[pa.Array]] = [[] for _ in names]
                size = 0
                for rows in result.partitions(BLOCK):
                    for column, cells in zip(blocks, zip(*rows, strict=True), strict=True):
                        column.append(_as_arrow(list(cells)))
                    size += sum(column[-1].nbytes for column in blocks)
                    if size > SHARE * available():
                        raise Refused(
                            f"What {shown} gives does not fit into memory ({size / 1e9:.1f} GB so "
                            "far). Take some of its rows, with a query."
                        )
    except sa.exc.SQLAlchemyError as error:
        words = " ".join(str(getattr(error, "orig", None) or error).split("\n")[0].split())[:200]
        secret = address.password
        words = words.replace(str(secret), "…") if secret else words
        raise Refused(
            f"{shown} gave no table ({words}). Correct --query, or the address."
        ) from None
    finally:
        engine.dispose()
    return pa.table([_joined(column) for column in blocks], names=names)


def _statement(
    connection: Connection, shown: str, query: str | None, values: Mapping[str, Any]
) -> Executable:
    import sqlalchemy as sa

    inspector = sa.inspect(connection)
    names = [*inspector.get_table_names(), *inspector.get_view_names()]
    there = f"There are: {', '.join(sorted(names)) or 'none'}."
    if query is None and len(names) != 1:
        raise Misuse(
            f"{shown} has {len(names)} tables: name one, or a query, with --query. {there}"
        )
    wanted = query or names[0]
    schema, _, table = wanted.rpartition(".")
    if wanted in names:
        schema, table = "", wanted
    elif not _NAME.fullmatch(wanted):
        text = sa.text(wanted)
        given = [name for name in values if f":{name}" in wanted]
        return text.bindparams(*(sa.bindparam(name, values[name]) for name in given))
    elif not schema or not inspector.has_table(table, schema=schema):
        raise Misuse(f"{shown} has no table {wanted}. {there}")
    return sa.select(sa.text("*")).select_from(sa.table(table, schema=schema or None))


def _as_arrow(cells: list[Any]) -> pa.Array:
    """A block of one column: of one type, or of texts."""
    import datetime
    import decimal

    import pyarrow as pa

    try:
        found = pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        known = [cell for cell in cells if cell is not None]
        if any(isinstance(cell, decimal.Decimal) for cell in known):  # NaN, or far too long
            with suppress(TypeError, ValueError):
                return pa.array([None if cell is None else float(cell) for cell in cells])
        return _as_texts(cells)
    if pa.types.is_decimal(found.type):
        return found.cast(pa.float64())
    is_date = pa.types.is_date(found.type)
    if is_date and any(isinstance(cell, datetime.datetime) for cell in cells):
        return _as_texts(cells)  # Arrow would drop the hours
    return _as_texts(cells) if isinstance(found.type, pa.BaseExtensionType) else found


def _as_texts(cells: list[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())


def _joined(blocks: list[pa.Array]) -> pa.ChunkedArray:
    """The blocks of one column: of their type, of numbers, or of texts where they differ."""
    import pyarrow as pa

    kinds = {block.type for block in blocks if not pa.types.is_null(block.type)}
    if len(kinds) > 1 and all(pa.types.is_integer(k) or pa.types.is_floating(k) for k in kinds):
        kinds = {pa.float64()}
    if len(kinds) > 1:
        return pa.chunked_array([_as_texts(block.to_pylist()) for block in blocks])
    kind = kinds.pop() if kinds else pa.null()
    return pa.chunked_array([block.cast(kind) for block in blocks], type=kind)
