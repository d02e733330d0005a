"""Bring new data into data/raw, without the personal columns that the contract drops on arrival.

DVC stores what lies in data/raw, and its embedded storage is a branch of Git, which forgets
nothing. A value that never lies there is in neither.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from gatewright.adapters.files import refuse_special, write_whole
from gatewright.adapters.git import Git
from gatewright.adapters.tables import read_parquet
from gatewright.contract.schema import Contract, read_contract
from gatewright.errors import Misuse, Refused
from gatewright.pipeline.data_check import RAW, as_text, faults


def ingest(root: Path, files: Iterable[Path]) -> str:
    """Copy Parquet files into data/raw, all of them or none; a sentence on what was done.

    Raises Refused for data that breaks the contract, and for what would leave a dropped value
    in Git, or overwrite a file. Running it again after it was killed completes it.
    """
    git, contract = Git(root), read_contract(root)
    with git.alone():
        if not (root / RAW).is_dir():
            raise Refused(f"{RAW} is not here. Run `uv run mlops setup` to get it, then again.")
        refuse_special(root / RAW)
        targets = _targets(root, files)
        if contract.dropped:
            _refuse_kept_sources(git, root, targets.values())
        arrived = {name: read_parquet(source) for name, source in targets.items()}
        here = {p.name: p for p in sorted((root / RAW).glob("*.parquet")) if p.name not in targets}
        known = {
            name: read_parquet(path, columns=list(contract.key)) for name, path in here.items()
        }
        wrong = faults(contract, arrived, arriving=True, known=known)
        if not wrong.empty:
            raise Refused(
                "What arrives does not keep contract.yaml, so none of it was brought in:\n"
                f"{as_text(wrong)}\n"
                "Mend the files, or change contract.yaml if the world has changed, and run again."
            )
        contents = {name: _without_dropped(rows, contract) for name, rows in arrived.items()}
        _write(root / RAW, contents)
    dropped = f", without {', '.join(contract.dropped)}" if contract.dropped else ""
    rows = sum(map(len, arrived.values()))
    return f"{len(contents)} files, {rows:,} rows are in {RAW}{dropped}. Next: `uv run mlops run`."


def _targets(root: Path, files: Iterable[Path]) -> dict[str, Path]:
    """The files that arrive, by the name that they get."""
    targets: dict[str, Path] = {}
    raw = (root / RAW).resolve()
    for source in files:
        if source.suffix != ".parquet" or not source.is_file():
            raise Misuse(f"{source} is no Parquet file (*.parquet).")
        if source.resolve().is_relative_to(raw):
            raise Misuse(f"{source} lies in {RAW} already. Bring files in from elsewhere.")
        if source.name in targets:
            raise Misuse(f"Two files are called {source.name}, and {RAW} has room for one.")
        targets[source.name] = source
    return targets


def _refuse_kept_sources(git: Git, root: Path, sources: Iterable[Path]) -> None:
    """A source that Git holds, or would with the next `git add`, is not dropped anywhere."""
    for source in sources:
        inside = source.resolve().is_relative_to(root.resolve())
        if inside and not git.ok("check-ignore", "--quiet", str(source.resolve())):
            raise Refused(
                f"{source} has personal columns and lies where Git would keep it. Move it out of "
                "the project, and bring it in from there; if it was committed already, it is in "
                "Git's history."
            )


def _without_dropped(rows: pd.DataFrame, contract: Contract) -> bytes:
    """The table as Parquet; no index and no attributes, which could hold what was dropped."""
    kept = [name for name in rows.columns if name not in contract.dropped]
    table = rows[kept].reset_index(drop=True)
    table.attrs = {}
    file = io.BytesIO()
    table.to_parquet(file, index=False, compression="zstd")
    return file.getvalue()


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    """Write all files, or take back those that were written."""
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
    try:
        for name, content in new.items():
            write_whole(folder / name, content)
    except BaseException:
        for name in new:
            (folder / name).unlink(missing_ok=True)
        raise
