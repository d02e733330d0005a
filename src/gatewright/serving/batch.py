"""`mlops score`: the model itself, asked for all rows of files, batch by batch.

Each file in has one file out, written beside its place and renamed when it is whole. What is there
already, of the same version and the same file, is not made again, so a run that was killed goes on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gatewright.adapters.model_file import Model, allowed_types, load_model
from gatewright.contract.schema import Column, Contract, parse_contract
from gatewright.contract.types import infinite, mistyped, wanted_types
from gatewright.contract.validation import Reason, describe
from gatewright.errors import Misuse, Refused
from gatewright.evaluation.predictions import Answers, answer
from gatewright.paths import MODEL
from gatewright.registry.champion import read_source
from gatewright.release.workspace import Workspace
from gatewright.serving.choose import chosen

ROWS = 100_000  # asked at once
ENDINGS = (".parquet", ".csv", ".jsonl", ".ndjson")
MARK = b"gatewright"  # of a file that was made here: by which version, of which file
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Scored:
    """files: made now. skipped: that were there. rows: answered. bad: in the quarantine."""

    files: int
    skipped: int
    rows: int
    bad: int
    version: str


@dataclass(frozen=True)
class _Asked:
    model: Model
    contract: Contract
    version: str
    sha256: str


def score(
    workspace: Workspace,
    environment: str,
    version: str | None,
    source: Path,
    out: Path,
    say: Callable[[str], None],
) -> Scored:
    """Answer the rows of a file, or of all files in a folder, into the folder `out`.

    Rows that the contract does not let in come into NAME.bad.csv with their reasons. Raises Refused
    for a file that cannot be read or lacks a column; what was made before stays.
    """
    files = _files(source)
    asked = _fetched(workspace, environment, version)
    out.mkdir(parents=True, exist_ok=True)
    made, skipped, rows, bad = 0, 0, 0, 0
    for number, path in enumerate(files, 1):
        target = out / f"{path.stem}.parquet"
        mark = _mark(asked, path)
        if _is_made(target, mark):
            skipped += 1
            say(f"{number}/{len(files)} {path.name}: is there")
            continue
        good, wrong = _score_file(asked, path, target, mark)
        made, rows, bad = made + 1, rows + good, bad + wrong
        say(f"{number}/{len(files)} {path.name}: {good:,} rows, {wrong:,} in the quarantine")
    return Scored(made, skipped, rows, bad, asked.version)


def _files(source: Path) -> list[Path]:
    found = [source] if source.is_file() else sorted(source.iterdir()) if source.is_dir() else []
    files = [path for path in found if path.suffix.lower() in ENDINGS]
    if not files:
        raise Misuse(f"{source} is no file, and no folder, of {', '.join(ENDINGS)}.")
    names = [path.stem for path in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Misuse(f"Several files are called {', '.join(twice)}, and would have one answer.")
    return files


def _fetched(workspace: Workspace, environment: str, version: str | None) -> _Asked:
    workspace.project.known(environment)
    with workspace.git.alone(), tempfile.TemporaryDirectory() as name:
        registry = workspace.registry()
        record, _ = chosen(registry, environment, version)
        contract = parse_contract(read_source(workspace.git, record).contract)
        files = [file for file in record.stored if file.path == MODEL]
        workspace.storage.fetch(files, environment, Path(name))
        model = load_model(Path(name) / MODEL, allowed_types(workspace.root))
    return _Asked(model, contract, record.version, record.model)


def _mark(asked: _Asked, path: Path) -> bytes:
    status = path.stat()
    of = (asked.version, asked.sha256, path.name, status.st_size, status.st_mtime_ns)
    return json.dumps(of).encode()


def _is_made(target: Path, mark: bytes) -> bool:
    try:
        return (pq.read_schema(target).metadata or {}).get(MARK) == mark
    except (OSError, pa.ArrowInvalid):
        return False


def _score_file(asked: _Asked, path: Path, target: Path, mark: bytes) -> tuple[int, int]:
    """How many rows were answered, and how many were not."""
    part, refused = target.with_suffix(".part"), target.with_suffix(".bad.csv")
    refused_part = target.with_suffix(".bad.part")
    writer: pq.ParquetWriter | None = None
    good = wrong = first = 0
    try:
        with refused_part.open("w", encoding="utf-8", newline="") as bad:
            for rows in _batches(path, asked.contract):
                why = faults(asked.contract, rows)
                kept = rows[why == ""]
                table = _answered(asked, kept)
                if writer is None:
                    schema = table.schema.with_metadata({MARK: mark})
                    writer = pq.ParquetWriter(part, schema, compression="zstd")
                writer.write_table(table.replace_schema_metadata({MARK: mark}))
                if len(kept) < len(rows):
                    told = rows[why != ""].drop(columns=_personal(asked.contract), errors="ignore")
                    told.insert(0, "why", why[why != ""])
                    told.insert(0, "row", first + np.flatnonzero(why != ""))
                    told.to_csv(bad, index=False, header=wrong == 0)
                good, wrong, first = (
                    good + len(kept),
                    wrong + len(rows) - len(kept),
                    first + len(rows),
                )
        if writer is None:
            raise Refused(f"{path} has no rows, so there is nothing to answer.")
        writer.close()
        if wrong:
            refused_part.replace(refused)
        else:
            refused.unlink(missing_ok=True)
        part.replace(target)  # the last: it says that all is there
    finally:
        for path_of in (part, refused_part):
            path_of.unlink(missing_ok=True)
    return good, wrong


def _personal(contract: Contract) -> list[str]:
    return [name for name, column in contract.columns.items() if column.personal]


def _batches(path: Path, contract: Contract) -> Iterator[pd.DataFrame]:
    """Rows with the columns that the model, its key and its time need, as far as they are there."""
    wanted = [name for name, column in contract.columns.items() if not column.personal]
    read = {".parquet": _parquet, ".csv": _csv}.get(path.suffix.lower(), _json_lines)
    batches = read(path, wanted)
    while True:
        try:
            rows = next(batches, None)
        except (pa.ArrowException, ValueError) as error:
            raise Refused(f"{path} cannot be read ({error}). Mend it, and run again.") from None
        if rows is None:
            return
        if absent := [name for name in contract.features if name not in rows]:
            raise Refused(
                f"{path} lacks the columns {', '.join(absent)}, which the model needs. Bring them, "
                "and run again."
            )
        yield rows.reset_index(drop=True)


def _parquet(path: Path, wanted: list[str]) -> Iterator[pd.DataFrame]:
    file = pq.ParquetFile(path)
    there = set(file.schema_arrow.names)
    for batch in file.iter_batches(ROWS, columns=[name for name in wanted if name in there]):
        yield batch.to_pandas()


def _csv(path: Path, wanted: list[str]) -> Iterator[pd.DataFrame]:
    """As texts: a value that is none of its type is one row's fault, not the file's."""
    # Blocks decide what is one batch; names that are not there are left out.
    names = pa.csv.open_csv(path).schema.names
    there = [name for name in wanted if name in names]
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(there, pa.string()),
        include_columns=there,
        strings_can_be_null=True,
        null_values=["", "NA", "NaN", "null"],
    )
    options = pa.csv.ReadOptions(block_size=1 << 24)
    for batch in pa.csv.open_csv(path, read_options=options, convert_options=convert):
        yield batch.to_pandas()


def _json_lines(path: Path, wanted: list[str]) -> Iterator[pd.DataFrame]:
    with path.open(encoding="utf-8") as lines:
        while some := list(islice(lines, ROWS)):
            found = [json.loads(line) for line in some if line.strip()]
            if not all(isinstance(row, dict) for row in found):
                raise ValueError("a line is no object")
            there = {name for row in found for name in row}
            yield pd.DataFrame(found, columns=[name for name in wanted if name in there])


def faults(contract: Contract, rows: pd.DataFrame) -> NDArray[Any]:
    """Why each row is not let in, empty for a good one; texts that are numbers become numbers."""
    why = np.full(len(rows), "", dtype=object)
    kinds = wanted_types(contract)
    named = [name for name in contract.key if name in rows and name not in contract.features]
    for name in (*contract.features, *named):
        column = contract.columns[name]
        untyped = _as_typed(rows, name, column)
        values = rows[name]
        wrong = untyped
        if column.type != "datetime":  # a time is only repeated, as it came
            wrong = untyped | np.asarray(mistyped(values, kinds[name]), dtype=bool)
        for reason, where in _of_values(column, values, wrong):
            told = f"{name}: {describe(reason, column)}"
            why[where] = [f"{before}; {told}" if before else told for before in why[where]]
    return why


def _as_typed(rows: pd.DataFrame, name: str, column: Column) -> NDArray[np.bool_]:
    """Make of texts what the contract says; where that is not possible."""
    values = rows[name]
    if column.type in ("string", "datetime") or not pd.api.types.is_string_dtype(values.dtype):
        return np.zeros(len(rows), dtype=bool)
    if column.type == "boolean":
        found = values.str.strip().str.lower().map(TRUTHS).astype(object)
        found = found.where(found.notna(), None)
    else:
        found = pd.to_numeric(values, errors="coerce")
    rows[name] = found
    return np.asarray(values.notna() & pd.isna(found), dtype=bool)


def _of_values(
    column: Column, values: pd.Series, wrong: NDArray[np.bool_]
) -> Iterator[tuple[Reason, NDArray[np.bool_]]]:
    missing = np.asarray(values.isna(), dtype=bool) & ~wrong
    if wrong.any():
        yield Reason.WRONG_TYPE, wrong
    if not column.nullable and missing.any():
        yield Reason.MISSING_VALUE, missing
    asked = ~(wrong | missing)
    if column.values is not None:
        there = asked & ~np.asarray(values.isin(column.values), dtype=bool)
        if there.any():
            yield Reason.UNKNOWN_VALUE, there
    if column.type not in ("integer", "number"):
        return
    endless = asked & np.asarray(infinite(values), dtype=bool)
    if endless.any():
        yield Reason.INFINITE, endless
    numbers = pd.to_numeric(values.where(asked & ~endless), errors="coerce").to_numpy(dtype=float)
    for reason, outside in (
        (Reason.BELOW_RANGE, numbers < column.min if column.min > -inf else None),
        (Reason.ABOVE_RANGE, numbers > column.max if column.max < inf else None),
    ):
        if outside is not None and outside.any():
            yield reason, outside


def _answered(asked: _Asked, rows: pd.DataFrame) -> pa.Table:
    """The key of each row, as far as it is there, and the answer."""
    contract = asked.contract
    inputs = rows.copy(deep=False)
    if len(rows):
        said = answer(asked.model, inputs, contract, "model")
    else:
        width = len(contract.classes)
        shape = (0, width) if width > 2 else (0,)
        said = Answers(np.zeros(shape), np.zeros(0, dtype=np.int64 if width else float))
    found: dict[str, Any] = {name: rows[name] for name in contract.key if name in rows}
    name = contract.prediction.name
    if said.scores.ndim == 1:
        found[name] = said.scores
    else:
        found |= {
            f"{name} {value}": said.scores[:, at] for at, value in enumerate(contract.classes)
        }
    if contract.classes:
        recommended = [contract.classes[code] for code in said.labels.tolist()]
        kind = pa.bool_() if len(contract.classes) == 2 else pa.string()
        found["recommends"] = pa.array(recommended, kind)
        if contract.decision:
            done = [contract.decision.actions[value] for value in recommended]
            found["decision"] = pa.array(done, pa.string())
    return pa.table(
        {
            n: pa.array(values) if not isinstance(values, pa.Array) else values
            for n, values in found.items()
        }
    )
