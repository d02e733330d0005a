"""Make a project be about a table: all of it, or nothing."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gatewright.adapters.console import aside
from gatewright.adapters.databases import name_of, without_password
from gatewright.adapters.dvc import must, run_pipeline
from gatewright.adapters.files import read_text, write_whole
from gatewright.adapters.git import Git
from gatewright.adapters.source_files import read_source, stem_of
from gatewright.adapters.tables import read_parquet
from gatewright.adoption.documents import (
    about_text,
    card_words,
    contract_text,
    data_card,
    params_text,
    sources_text,
)
from gatewright.adoption.profile import Profile, profile
from gatewright.adoption.thresholds import gates_text, too_few
from gatewright.contract.schema import Task, parse_contract, read_contract
from gatewright.errors import Refused
from gatewright.evaluation.groups import groups_of
from gatewright.paths import TEST
from gatewright.pipeline.data_check import RAW
from gatewright.sources.recipe import NAME as SOURCES
from gatewright.sources.recipe import parse_recipe

ABOUT = ("<!-- what stands here -->\n", "<!-- end of what stands here -->\n")
WRITTEN = (
    *("contract.yaml", "gates.yaml", "params.yaml", SOURCES, "README.md", "data/README.md"),
    *("docs/model-card-words.md", "dvc.lock", "data/raw.dvc", "data/.gitignore"),
)
FOLDERS = (RAW, "data/incoming", "data/split", "model", "reports")
METRICS = "reports/metrics.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Adopted:
    """What a project is about now, and what there is to say of it."""

    profile: Profile
    notes: tuple[str, ...]
    too_few: str | None


def adopt(
    root: Path,
    place: str,
    target: str,
    say: Say,
    task: Task | None = None,
    query: str | None = None,
    name: str | None = None,
    description: str | None = None,
) -> Adopted:
    """Read a table, guess what it is, write the project's files, train, and propose thresholds.

    place: a file, a URL of fsspec or of SQLAlchemy; `query` names a table or a sheet of it. Raises
    Refused or Misuse and leaves everything as it was, whatever goes wrong.
    """
    say(f"read {without_password(place)}")
    source = read_source(place, query)
    say(f"look at {source.table.num_rows:,} rows of {source.table.num_columns:,} columns")
    found = profile(source.table, target, task)
    old = read_contract(root)
    texts = {
        "contract.yaml": contract_text(
            found,
            name or old.name,
            description or f"It predicts {target}, one of the table's columns.",
        ),
        SOURCES: sources_text(found),
        "params.yaml": params_text(found),
        "gates.yaml": gates_text(found, None),
        "docs/model-card-words.md": card_words(found),
        "data/README.md": data_card(found, name_of(place)),
        "README.md": _readme(read_text(root / "README.md"), about_text(found, name_of(place))),
    }
    parse_contract(texts["contract.yaml"])
    parse_recipe(texts[SOURCES])
    _keep_what_is_there(root)
    with _all_or_nothing(root):
        _empty(root)
        say("write the data, the contract and the parameters")
        write_whole(root / RAW / f"{stem_of(place)}.parquet", _parquet(found))
        for path, text in texts.items():
            write_whole(root / path, text)
        say("run the pipeline: check, split, train, evaluate, model card")
        with aside():
            run_pipeline(root)
        say("propose thresholds from what was measured")
        found = _as_split(root, found)
        measured = json.loads(read_text(root / METRICS))
        write_whole(root / "gates.yaml", gates_text(found, measured))
    return Adopted(found, source.notes, too_few(found))


def _as_split(root: Path, found: Profile) -> Profile:
    """With the numbers of rows that the stage `split` came to."""
    rows = read_parquet(root / TEST)
    fewest = 0 if found.is_number else int(rows[found.recipe.target].value_counts().min())
    groups = groups_of(rows, read_contract(root))
    return replace(
        found,
        test_rows=len(rows),
        fewest_of_a_class=fewest,
        test_groups=None if groups is None else int(groups.max()) + 1,
    )


def _parquet(found: Profile) -> bytes:
    rows = found.rows.drop(columns=list(found.personal))
    file = io.BytesIO()
    rows.to_parquet(file, index=False, compression="zstd")
    return file.getvalue()


def _readme(text: str, about: str) -> str:
    before, mark, rest = text.partition(ABOUT[0])
    if not mark or ABOUT[1] not in rest:
        return text  # somebody rewrote it: it is theirs
    return before + mark + about + ABOUT[1] + rest.partition(ABOUT[1])[2]


def _empty(root: Path) -> None:
    """Take away what the project was about before."""
    for name in FOLDERS:
        folder = root / name
        for path in sorted(folder.rglob("*"), reverse=True) if folder.is_dir() else ():
            if path.is_dir():
                path.rmdir()
            elif path.name != ".gitignore":
                path.unlink()
    shutil.rmtree(root / "data/incoming", ignore_errors=True)
    (root / RAW).mkdir(parents=True, exist_ok=True)
    (root / "dvc.lock").unlink(missing_ok=True)


def _keep_what_is_there(root: Path) -> None:
    """Refuse to take away what Git does not have yet, and let DVC keep the raw data as it is."""
    git = Git(root)
    if not git.sha("HEAD"):
        return  # a project that is being made
    if changed := git("status", "--porcelain", "--untracked-files=no"):
        raise Refused(
            "Files are changed and not committed, and adopting a table replaces contract, policy, "
            f"parameters and data:\n{changed}\nCommit or restore them, and run again."
        )
    if (root / f"{RAW}.dvc").exists() and (root / RAW).is_dir():
        must(root, "add", "--quiet", RAW)


@contextmanager
def _all_or_nothing(root: Path) -> Iterator[None]:
    """Put every file back as it was if anything goes wrong, the end of the process excepted."""
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name)
        for path in WRITTEN:
            if (root / path).is_file():
                (kept / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / path, kept / path)
        for folder in FOLDERS:
            if (root / folder).is_dir():
                shutil.copytree(root / folder, kept / folder, dirs_exist_ok=True)
        try:
            yield
        except BaseException as error:
            for folder in FOLDERS:
                shutil.rmtree(root / folder, ignore_errors=True)
                if (kept / folder).is_dir():
                    shutil.copytree(kept / folder, root / folder)
            for path in WRITTEN:
                (root / path).unlink(missing_ok=True)
                if (kept / path).is_file():
                    shutil.copy2(kept / path, root / path)
            if isinstance(error, Refused):
                raise Refused(f"{error} The project is as it was before.") from error
            raise
