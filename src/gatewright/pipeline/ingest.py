"""Bring new rows into data/raw, without the personal columns that the contract drops on arrival.

DVC stores what lies in data/raw, and its embedded storage is a branch of Git, which forgets
nothing. A value that never lies there is in neither. Rows that break the contract go to
data/quarantine, which neither Git nor DVC keeps, with the reason of each.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from gatewright.adapters.files import read_text, refuse_special, write_whole
from gatewright.adapters.git import Git
from gatewright.adapters.source_files import NoRows, read_source, stem_of
from gatewright.adapters.tables import column_names, read_parquet
from gatewright.contract.schema import Contract, read_contract
from gatewright.contract.validation import Reason, describe, sort_out
from gatewright.errors import Misuse, Refused
from gatewright.pipeline.data_check import RAW, as_text
from gatewright.run_context import with_variables
from gatewright.sources.recipe import NAME as SOURCES
from gatewright.sources.recipe import Recipe, parse_recipe, read_table

QUARANTINE = "data/quarantine"
MOST_BAD = 0.2  # of the rows that arrive; with more, something else is wrong than single rows
_NO_VALUE: dict[str, Any] = {  # a column in which no row has a value
    **{"string": "str", "number": "float64", "integer": "Int64", "boolean": "boolean"},
    "datetime": "datetime64[us]",
}
SINCE = pd.Timestamp("1900-01-01")


@dataclass(frozen=True)
class Batch:
    """Rows that arrive, under the name that their file gets, and what is wrong with some."""

    name: str
    rows: pd.DataFrame
    bad: dict[int, list[str]] = field(default_factory=dict)  # by position

    @property
    def good(self) -> pd.DataFrame:
        return self.rows.drop(index=[*self.bad]) if self.bad else self.rows


@dataclass(frozen=True)
class Ingested:
    """What came in, and what was done with it; no batch if nothing came."""

    sentence: str
    batches: tuple[Batch, ...] = ()

    @property
    def rows(self) -> int:
        """The rows that are in data/raw now."""
        return sum(len(batch.good) for batch in self.batches)


def ingest(
    root: Path, places: Sequence[str], query: str | None = None, corrects: bool = False
) -> Ingested:
    """Bring the rows of files, URLs or databases into data/raw, all of them or none.

    Without a place, sources.yaml says from where. `corrects` lets rows take the place of known ones
    with the same key. Raises Refused for a table that breaks
    the contract as a whole or in many of its rows, that was here before, or that would leave a
    dropped value in Git. Running it again after it was killed completes it.
    """
    git, contract = Git(root), read_contract(root)
    with git.alone():
        if not (root / RAW).is_dir():
            raise Refused(f"{RAW} is not here. Run `uv run mlops setup` to get it, then again.")
        refuse_special(root / RAW)
        recipe = parse_recipe(read_text(root / SOURCES)) if (root / SOURCES).is_file() else None
        try:
            batches = _arrived(root, git, contract, recipe, places, query)
        except NoRows:
            if places:
                raise
            return Ingested("Nothing new has come.")
        known = _known(root, contract, [batch.name for batch in batches])
        batches = [_sorted_out(batch, contract) for batch in batches]
        corrected = _replaced(root, contract, batches, known) if corrects else {}
        batches = _new_ones(batches, contract, {} if corrects else known)
        _refuse_mostly_bad(batches)
        widened, new = _widened(root, contract, batches, known, corrected)
        contents = {batch.name: _as_parquet(batch.good, contract) for batch in batches}
        replaced = {n: _as_parquet(r, contract) for n, r in {**corrected, **widened}.items()}
        _write(root, contents, replaced)
        quarantined = _quarantine(root, contract, batches)
    sentence = _told(batches, contract, corrected, new, quarantined)
    return Ingested(sentence, tuple(batches))


# What arrives


def _arrived(
    root: Path,
    git: Git,
    contract: Contract,
    recipe: Recipe | None,
    places: Sequence[str],
    query: str | None,
) -> list[Batch]:
    if not places:
        if recipe is None or recipe.origin is None:
            raise Misuse(
                f"Name a file, or say in {SOURCES} where new rows come from (`origin: {{place: "
                "...}`)."
            )
        place, absent = with_variables(recipe.origin.place)
        if absent:
            raise Misuse(
                f"{SOURCES} names the environment variable {absent[0]}, which is not set, so it is "
                "not known where new rows come from. Set it."
            )
        places, query = [place], query or recipe.origin.query
    values = {}
    if query and ":since" in query:  # which asks all files
        values["since"] = _latest(root, contract).to_pydatetime()
    batches: dict[str, Batch] = {}
    for place in places:
        if "://" not in place:
            _refuse_from_within(root, git, contract, Path(place))
        batch = _read(place, query, recipe, values)
        if batch.name in batches:
            name = batch.name
            raise Misuse(f"Two files would be called {name}, and {RAW} has room for one.")
        batches[batch.name] = batch
    return list(batches.values())


def _read(place: str, query: str | None, recipe: Recipe | None, values: Mapping[str, Any]) -> Batch:
    if recipe is None:
        path = Path(place)
        if path.suffix != ".parquet" or not path.is_file():
            raise Misuse(
                f"{place} is no Parquet file (*.parquet), and no {SOURCES} says how to read "
                "another. `uv run mlops adopt` writes one."
            )
        return Batch(path.name, read_parquet(path).reset_index(drop=True))
    table = read_source(place, query, values).table
    rows, unread = read_table(table, recipe)
    bad: dict[int, list[str]] = {}
    for found in unread:
        for row in found.rows:
            bad.setdefault(int(row), []).append(f"{found.column}: {found.why}")
    stem = stem_of(place)
    if "://" in place or query:  # the next time other rows come from there
        told = pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()
        stem = f"{stem}-{hashlib.sha256(told).hexdigest()[:8]}"
    return Batch(f"{stem}.parquet", rows, bad)


def _refuse_from_within(root: Path, git: Git, contract: Contract, source: Path) -> None:
    """A source in data/raw, and one that Git would keep though columns of it are dropped."""
    whole = source.resolve()
    if whole.is_relative_to((root / RAW).resolve()):
        raise Misuse(f"{source} lies in {RAW} already. Bring files in from elsewhere.")
    inside = whole.is_relative_to(root.resolve())
    if contract.dropped and inside and not git.ok("check-ignore", "--quiet", str(whole)):
        raise Refused(
            f"{source} has personal columns and lies where Git would keep it. Move it out of "
            "the project, and bring it in from there; if it was committed already, it is in "
            "Git's history."
        )


def _latest(root: Path, contract: Contract) -> pd.Timestamp:
    """The latest time that is known, for a query of what came after it."""
    if contract.time is None:
        return SINCE
    files = sorted((root / RAW).glob("*.parquet"))
    times = [read_parquet(path, columns=[contract.time])[contract.time].max() for path in files]
    return max((time for time in times if pd.notna(time)), default=SINCE)


# Which rows are good


def _sorted_out(batch: Batch, contract: Contract) -> Batch:
    """The batch with what its rows break. Raises Refused for what all of it breaks."""
    whole, by_row = sort_out(contract, batch.rows, arriving=True)
    if not whole.empty:
        raise Refused(
            "What arrives does not keep contract.yaml, so none of it was brought in:\n"
            f"{as_text(whole.assign(file=batch.name))}\n"
            "Mend the files, or change contract.yaml if the world has changed, and run again."
        )
    # What could not be read is missing in its row, and told as unread alone.
    bad = {row: batch.bad.get(row) or by_row[row] for row in sorted({*batch.bad, *by_row})}
    return Batch(batch.name, batch.rows, bad)


def _known(root: Path, contract: Contract, but: list[str]) -> dict[str, pd.DataFrame]:
    """The keys of the files in data/raw, but of those of these names."""
    paths = [path for path in sorted((root / RAW).glob("*.parquet")) if path.name not in but]
    return {path.name: read_parquet(path, columns=list(contract.key)) for path in paths}


def _new_ones(
    batches: list[Batch], contract: Contract, known: Mapping[str, pd.DataFrame]
) -> list[Batch]:
    """The batches, with the rows told whose keys are known, or came in one before."""
    key, seen, found = list(contract.key), [*known.values()], []
    words = f"{', '.join(key)}: {describe(Reason.KEY_IN_ANOTHER_FILE)}"
    for batch in batches:
        if seen:
            keys = pd.concat(seen)[key].drop_duplicates()
            there = batch.rows[key].merge(keys, on=key, how="left", indicator=True)["_merge"]
            again = (there == "both").to_numpy()
            if len(again) and again.all():
                raise Refused(
                    f"All {len(again):,} rows of {batch.name} are here already ({words}), so "
                    "nothing was brought in. Where they are corrections, say so: --corrects."
                )
            bad = {row: list(why) for row, why in batch.bad.items()}
            for row in again.nonzero()[0]:
                bad.setdefault(int(row), []).append(words)
            batch = Batch(batch.name, batch.rows, bad)
        seen.append(batch.good[key])
        found.append(batch)
    return found


def _refuse_mostly_bad(batches: Iterable[Batch]) -> None:
    for batch in batches:
        if len(batch.bad) > MOST_BAD * len(batch.rows):
            raise Refused(
                f"{len(batch.bad):,} of {len(batch.rows):,} rows of {batch.name} are bad, so "
                f"something else is wrong than single rows, and nothing was brought in:\n"
                f"{_reasons(batch)}\n"
                "Mend the file, or change contract.yaml if the world has changed, and run again."
            )


def _reasons(batch: Batch) -> str:
    counts = Counter(why for all_of_row in batch.bad.values() for why in all_of_row)
    first: dict[str, int] = {}
    for row, all_of_row in batch.bad.items():
        for why in all_of_row:
            first.setdefault(why, row)
    return "\n".join(
        f"  {batch.name}: {why}, in {count:,} rows, first in row {first[why]}"
        for why, count in counts.most_common(12)
    )


# Writing


def _replaced(
    root: Path, contract: Contract, batches: list[Batch], known: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """The known files without the rows that are corrected, by name."""
    key = list(contract.key)
    corrected = pd.concat([batch.good[key] for batch in batches]).drop_duplicates()
    replaced = {}
    for name, keys in known.items():
        there = keys.merge(corrected, on=key, how="left", indicator=True)["_merge"]
        again = (there == "both").to_numpy()
        if again.any():
            replaced[name] = read_parquet(root / RAW / name)[~again]
    if not replaced:
        raise Refused("None of the rows is known, so they correct nothing. Leave --corrects away.")
    return replaced


def _widened(
    root: Path,
    contract: Contract,
    batches: list[Batch],
    known: Iterable[str],
    corrected: Mapping[str, pd.DataFrame],
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The known files with the columns that come for the first time, empty, and their names.

    Only a nullable column can come later than the first rows.
    """
    late = {
        name: column
        for name, column in contract.columns.items()
        if column.nullable and any(name in batch.rows for batch in batches)
    }
    late = {name: column for name, column in late.items() if name not in contract.dropped}
    found, new = {}, set()
    for name in known:
        there = set(column_names(root / RAW / name))
        absent = {n: _NO_VALUE[column.type] for n, column in late.items() if n not in there}
        if absent:
            rows = corrected[name] if name in corrected else read_parquet(root / RAW / name)
            empty = {n: pd.Series(None, rows.index, dtype) for n, dtype in absent.items()}
            found[name] = rows.assign(**empty)
            new |= set(absent)
    return found, [name for name in late if name in new]


def _as_parquet(rows: pd.DataFrame, contract: Contract) -> bytes:
    """The table as Parquet; no index and no attributes, which could hold what was dropped."""
    kept = [name for name in rows.columns if name not in contract.dropped]
    table = rows[kept].reset_index(drop=True)
    table.attrs = {}
    file = io.BytesIO()
    table.to_parquet(file, index=False, compression="zstd")
    return file.getvalue()


def _write(root: Path, contents: Mapping[str, bytes], replaced: Mapping[str, bytes]) -> None:
    """Write all files, or leave all as they were."""
    folder = root / RAW
    new = {
        name: content
        for name, content in contents.items()
        if not (folder / name).exists() or (folder / name).read_bytes() != content
    }
    if there := [name for name in new if (folder / name).exists()]:
        raise Refused(
            f"{folder / there[0]} is there already and holds something else; nothing was brought "
            "in. Give the file another name, or remove the old one first."
        )
    before = {name: (folder / name).read_bytes() for name in replaced}
    try:
        for name, content in {**replaced, **new}.items():
            write_whole(folder / name, content)
    except BaseException:
        for name in new:
            (folder / name).unlink(missing_ok=True)
        for name, content in before.items():
            write_whole(folder / name, content)
        raise


def _quarantine(root: Path, contract: Contract, batches: Iterable[Batch]) -> list[str]:
    """Write the bad rows of each batch with their reasons; the files that there are now."""
    folder, written = root / QUARANTINE, []
    for batch in batches:
        path = folder / f"{Path(batch.name).stem}.csv"
        if not batch.bad:
            path.unlink(missing_ok=True)
            continue
        kept = [name for name in batch.rows.columns if name not in contract.dropped]
        rows = batch.rows.loc[[*batch.bad], kept]
        reasons = ["; ".join(why) for why in batch.bad.values()]
        rows.insert(0, "why", reasons)
        rows.insert(0, "row", [*batch.bad])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        write_whole(path, rows.to_csv(index=False))
        written.append(str(path))
    return written


def _told(
    batches: list[Batch],
    contract: Contract,
    corrected: Iterable[str],
    new: list[str],
    bad: list[str],
) -> str:
    dropped = f", without {', '.join(contract.dropped)}" if contract.dropped else ""
    rows = sum(len(batch.good) for batch in batches)
    lines = [f"{len(batches)} files, {rows:,} rows are in {RAW}{dropped}."]
    if corrected:
        lines.append(f"They took the place of known rows in {', '.join(corrected)}.")
    if new:
        lines.append(f"The rows that were here have no value in {', '.join(new)}, which is new.")
    if bad:
        count = sum(len(batch.bad) for batch in batches)
        lines += [f"{count:,} bad rows are not, but in {', '.join(bad)}, each with its reason:"]
        lines += [_reasons(batch) for batch in batches if batch.bad]
    lines.append("Next: `uv run mlops run`.")
    return "\n".join(lines)
