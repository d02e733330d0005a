"""A team's own table: one command makes the project be about it, and its models are judged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cookiecutter.main import cookiecutter
from postgres import Postgres
from projects import TEMPLATE, Parcels, copy

from gatewright.contract.holes import holes_of

SHOPS = [f"s{number:03d}" for number in range(300)]


def visits(seed: int = 7) -> pd.DataFrame:
    """Two classes; rows of one customer; names of people; a column that tells the target."""
    draw = np.random.default_rng(seed)
    n = 2400
    rows = pd.DataFrame(
        {
            "customer_id": [f"C{number % 800:04d}" for number in range(n)],
            "E-Mail": [f"zyxwv{number}@example.com" for number in range(n)],
            "Größe (cm)": draw.normal(170, 10, n).round(1),
            "plan": draw.choice(["basic", "plus", "pro"], n),
            "member": draw.choice(["yes", "no", ""], n),
            "since": (pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "h")).strftime(
                "%d.%m.%Y"
            ),
        }
    )
    odds = (rows["Größe (cm)"] - 170) / 6 + (rows["plan"] == "pro")
    rows["left"] = np.where(draw.random(n) < 1 / (1 + np.exp(-odds)), "Yes", "No")
    rows["refund"] = np.where(rows["left"] == "Yes", 12.5, 0.0)
    rows["since"] = rows["since"].where(rows.index % 50 != 0, "")
    return rows


def sales(seed: int = 7) -> pd.DataFrame:
    """A number, over two years."""
    draw = np.random.default_rng(seed)
    n = 3000
    when = pd.Timestamp("2022-01-01") + pd.to_timedelta(np.sort(draw.uniform(0, 700 * 24, n)), "h")
    rows = pd.DataFrame(
        {
            "sold at": when.floor("min"),
            "shop": draw.choice(SHOPS[:9], n),
            "size": draw.lognormal(1, 0.5, n),
            "offer": draw.random(n) < 0.3,
        }
    )
    rows["price"] = (
        20 + 15 * rows["size"] - 8 * rows["offer"] + draw.normal(0, 6, n) + 4 * (when.hour > 12)
    ).round(2)
    rows.insert(0, "sale no", np.arange(5000, 5000 + n))
    return rows


def flowers(seed: int = 7) -> pd.DataFrame:
    """Three classes, few rows, and none of them has a key."""
    draw = np.random.default_rng(seed)
    kind = np.repeat(["lily", "rose tree", "tulip"], 50)
    at = np.searchsorted(["lily", "rose tree", "tulip"], kind)
    rows = pd.DataFrame({"leaf": draw.normal(at, 0.6), "stem": draw.normal(at * 2, 1.5)})
    return rows.round(2).assign(kind=kind)


@dataclass(frozen=True)
class Table:
    """How a table is made and written, its target, and what the gate of dev says of a model."""

    rows: Callable[[], pd.DataFrame]
    write: Callable[[pd.DataFrame, Path], object]
    target: str
    status: int


TABLES = {
    "left": Table(visits, lambda r, p: r.to_csv(p, index=False, sep=";", decimal=","), "left", 0),
    "price": Table(sales, lambda r, p: r.to_parquet(p), "price", 0),
    "kind": Table(flowers, lambda r, p: r.to_json(p, orient="records", lines=True), "kind", 2),
}


@pytest.fixture(scope="session")
def rendered(shared: Callable[[str, Callable[[Path], object]], Path]) -> Parcels:
    """The example as it is generated, in a repository; nothing was run."""

    def make(folder: Path) -> None:
        answers = {"project_name": "Our Table", "description": "What will it be?"}
        cookiecutter(str(TEMPLATE), None, True, answers, accept_hooks=False, output_dir=str(folder))
        project = Parcels(folder / "our-table", Path(sys.prefix))
        project.git("init", "--quiet", "--bare", "-b", "main", str(project.origin))
        project.git("init", "--quiet", "-b", "main")
        project.git("remote", "add", "origin", str(project.origin))
        project.commit("Start")

    return Parcels(shared("rendered", make) / "our-table", Path(sys.prefix))


@pytest.fixture(scope="session", params=list(TABLES.values()), ids=list(TABLES))
def adopted(
    request: pytest.FixtureRequest,
    rendered: Parcels,
    shared: Callable[[str, Callable[[Path], object]], Path],
) -> tuple[Table, Parcels]:
    table: Table = request.param

    def make(folder: Path) -> None:
        project = copy(rendered, folder)
        table.write(table.rows(), folder / "the table")
        done = project.mlops("adopt", "../the table", "--target", table.target)
        (folder / "said").write_text(done.stdout + done.stderr)
        project.mlops("setup")
        project.commit("Our table")

    folder = shared(f"adopted-{table.target}", make)
    return table, Parcels(folder / "our-table", Path(sys.prefix))


def test_its_model_is_judged_and_becomes_a_version(
    adopted: tuple[Table, Parcels], tmp_path: Path
) -> None:
    table, project = adopted[0], copy(adopted[1], tmp_path)
    verdict = json.loads(project.mlops("gate", "--json", expect=table.status).stdout)
    refused = project.refusals(verdict) - {"contract"}  # words that are not written yet
    if table.status:
        assert "could tell good from bad" in verdict["sentence"]
        project.mlops("register", expect=2)
        return
    assert refused <= {"baseline"}
    assert "1.0.0" in project.mlops("register").stdout
    project.mlops("promote", "1.0.0", "--to", "dev")
    assert project.live()["dev"] == "1.0.0"


def test_production_waits_for_words_that_only_a_person_can_write(
    adopted: tuple[Table, Parcels], tmp_path: Path
) -> None:
    project = copy(adopted[1], tmp_path)

    def words() -> list[str]:
        done = project.mlops("gate", "--env", "production", "--json", expect=None)
        answers = json.loads(done.stdout)["answers"]
        found = [f for a in answers if a["check"] == "contract" for f in a["findings"]]
        return [f["status"] for f in found if f["subject"] == "words"]

    assert words() == ["refuse"]
    for name in ("contract.yaml", "docs/model-card-words.md"):
        path = project.root / name
        text = path.read_text(encoding="utf-8")
        for wanted in holes_of(text):
            text = text.replace(f"[to be written: {wanted}]", "Written by a person")
        path.write_text(text, encoding="utf-8")
    project.mlops("run")
    assert words() == []


def test_shuffled_labels_are_refused(adopted: tuple[Table, Parcels], tmp_path: Path) -> None:
    table, project = adopted[0], copy(adopted[1], tmp_path)
    (raw,) = (project.root / "data/raw").glob("*.parquet")
    rows = pd.read_parquet(raw)
    key = pd.read_parquet(project.root / "data/split/test.parquet")
    names = [n for n in key if n != table.target]
    tests = rows.merge(key[names].drop_duplicates(), on=names, how="left", indicator=True)
    learns = (tests["_merge"] == "left_only").to_numpy()
    labels = rows[table.target].to_numpy(copy=True)
    labels[learns] = np.random.default_rng(0).permutation(labels[learns])
    rows.assign(**{table.target: labels}).to_parquet(raw, index=False)
    project.mlops("run")
    verdict = json.loads(project.mlops("gate", "--json", expect=1).stdout)
    assert "bounds" in project.refusals(verdict)


def test_its_own_tests_and_linters_are_green(adopted: tuple[Table, Parcels]) -> None:
    _, project = adopted
    project.run("ruff", "check")
    project.run("ruff", "format", "--check")
    project.run("pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "tests")


def test_the_notebook_looks_at_the_rows_and_asks_the_model(
    adopted: tuple[Table, Parcels], tmp_path: Path
) -> None:
    _, project = adopted
    book = project.root / "notebooks/look.ipynb"
    before = book.read_bytes()
    project.run("jupyter-execute", "--output", str(tmp_path / "run.ipynb"), str(book))
    cells = json.loads((tmp_path / "run.ipynb").read_text(encoding="utf-8"))["cells"]
    given = [out for cell in cells for out in cell.get("outputs", [])]
    assert {out["output_type"] for out in given} == {"execute_result", "display_data"}, "no stream"
    assert sum("image/png" in out["data"] for out in given) == 1
    assert "truth" in "".join(given[-1]["data"]["text/plain"])
    assert "E-Mail" not in json.dumps(given)
    project.run("nbstripout", "--verify", str(book))
    assert book.read_bytes() == before


def test_nothing_of_the_example_is_left(adopted: tuple[Table, Parcels]) -> None:
    table, project = adopted
    tracked = project.git("ls-files").splitlines()
    for name in tracked:
        text = (project.root / name).read_text(encoding="utf-8", errors="replace").casefold()
        assert not {"flight", "airport", "carrier"} & set(re.findall(r"[a-z]+", text)), name
    assert not list((project.root / "data").glob("incoming*"))
    card = (project.root / "reports/model-card.md").read_text(encoding="utf-8")
    assert table.target in card


def test_personal_values_are_nowhere(adopted: tuple[Table, Parcels]) -> None:
    _, project = adopted
    for path in project.root.rglob("*"):
        if path.is_file() and ".git/" not in str(path):
            assert b"zyxwv" not in path.read_bytes(), path
    command = ["git", "cat-file", "--batch", "--batch-all-objects", "--unordered"]
    objects = subprocess.run(command, cwd=project.root, capture_output=True, check=True).stdout
    assert b"zyxwv" not in objects


def test_a_table_that_cannot_be_learnt_leaves_the_project_as_it_was(
    rendered: Parcels, tmp_path: Path
) -> None:
    project = copy(rendered, tmp_path)
    rows = visits()
    rows.to_csv(tmp_path / "good.csv", index=False)
    (tmp_path / "prose.txt").write_text(
        "No table,\nbut a few words and\nsome, more, of, them.\n" * 3
    )
    project.edit("src/our_table/train.py", "def main() -> None:", "def main() -> None:\n    1 / 0")
    done = project.mlops("adopt", "../good.csv", "--target", "left", expect=1)
    assert "Files are changed and not committed" in done.stderr
    project.commit("A stage that fails")
    before = _files(project.root)
    for words, status, said in (
        (("../prose.txt", "--target", "x"), 1, "looks like prose"),
        (("../good.csv", "--target", "nowhere"), 64, "There is no column 'nowhere'"),
        (("../good.csv", "--target", "E-Mail"), 1, "2,400 different texts"),
        (("../none.csv", "--target", "x"), 64, "is not there"),
        (("../good.csv",), 64, "Name the table and what is to be predicted"),
        (("../good.csv", "--target", "left"), 1, "The project is as it was before"),
    ):
        done = project.mlops("adopt", *words, expect=status)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert _files(project.root) == before


def _files(root: Path) -> dict[str, bytes]:
    """All but what Git and DVC keep for themselves."""
    unseen = {".git", ".dvc", "__pycache__"}
    paths = [path for path in root.rglob("*") if path.is_file()]
    seen = {
        str(p.relative_to(root)): p for p in paths if not unseen & set(p.relative_to(root).parts)
    }
    return {name: path.read_bytes() for name, path in seen.items()}


def test_what_was_guessed_is_shown(adopted: tuple[Table, Parcels]) -> None:
    table, project = adopted
    shown = project.mlops("adopt", "--review").stdout
    said = (project.root.parent / "said").read_text()
    assert "Running stage 'train'" in said
    assert "git add" not in said, "hints of DVC"
    assert "dvc push" not in said
    if table.target == "left":
        assert "personal: kept out" in shown
        assert "known afterwards: kept out" in shown
        assert "its values look like an e-mail address" in said
    if table.target == "kind":
        assert "Too few rows to judge a model" in said
        assert "rows in all would do" in said


def test_new_rows_are_read_as_the_first_ones_were(
    adopted: tuple[Table, Parcels], tmp_path: Path
) -> None:
    """By sources.yaml: the same file kind, other rows; one of them is bad."""
    table, project = adopted[0], copy(adopted[1], tmp_path)
    rows = table.rows().sample(120, random_state=1).reset_index(drop=True)
    if table.target == "price":
        rows["sale no"] += 100_000
        rows["sold at"] += pd.Timedelta(days=800)
        rows.loc[3, "size"] = -4.0
    else:
        first = rows.columns[2 if table.target == "left" else 0]
        rows[first] = (rows[first] * 1.01 + 0.00031).round(5)
        rows[table.target] = rows[table.target].astype(object)
        rows.loc[3, table.target] = None
    table.write(rows, tmp_path / "more")
    said = project.mlops("ingest", "../more").stdout
    assert "119 rows are in data/raw" in said
    assert "1 bad rows are not, but in data/quarantine/more.csv" in said
    assert "zyxwv" not in (project.root / "data/quarantine/more.csv").read_text()
    project.mlops("run")
    assert len(list((project.root / "data/raw").glob("*.parquet"))) == 2
    if not table.status:
        project.commit("More rows")
        assert "1.0.0" in project.mlops("register").stdout


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_new_rows_of_a_database_are_those_after_the_last(
    kind: str, rendered: Parcels, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import sqlalchemy as sa

    project, rows = copy(rendered, tmp_path), sales()
    url = f"sqlite:///{tmp_path}/sales.db"
    engine = sa.create_engine(url)
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url, engine = server.url(), server.engine()
        server.run("DROP TABLE IF EXISTS sales")

    def store(some: pd.DataFrame) -> None:
        some.to_sql("sales", engine, index=False, if_exists="append")

    store(rows.head(2500))
    project.mlops("adopt", url, "--query", "sales", "--target", "price")
    query = 'SELECT * FROM sales WHERE "sold at" > :since'
    origin = f"origin:\n  place: ${{SALES}}\n  query: {query}\n"
    sources = project.root / "sources.yaml"
    sources.write_text(sources.read_text() + origin)
    where = {"SALES": url}
    assert "SALES, which is not set" in project.mlops("ingest", expect=64).stderr
    assert "Nothing new has come." in project.mlops("ingest", env=where).stdout
    store(rows.tail(500))
    said = project.mlops("ingest", env=where)
    engine.dispose()
    assert "500 rows are in data/raw" in said.stdout
    assert "Nothing new has come." in project.mlops("ingest", env=where).stdout
    project.mlops("check")
    assert not any(b"hush" in content for content in _files(project.root).values())


def test_parameters_are_tried_on_training_rows_and_what_is_better_is_written(
    adopted: tuple[Table, Parcels], tmp_path: Path
) -> None:
    table, project = adopted[0], copy(adopted[1], tmp_path)
    # By processes: the team's own code is imported, and stays so.
    if table.target != "left":
        pytest.skip("one table shows it")
    (project.root / "data/split/test.parquet").unlink()  # nobody asks it
    params = project.root / "params.yaml"
    leaf = "gradient_boosting:.*?min_samples_leaf: "
    # So large that no tree splits: whatever is tried is better.
    params.write_text(re.sub(rf"({leaf})\d+", r"\g<1>9999", params.read_text(), flags=re.S))
    space = "    gradient_boosting.min_samples_leaf: {low: 20, high: 200, whole: true}\n"
    params.write_text(params.read_text() + f"search:\n  trials: 4\n  space:\n{space}")
    before = params.read_text()
    said = project.run("mlops", "search", "--dry-run")
    assert "1: roc_auc" in said.stderr
    assert "of 4 tried" in said.stdout
    assert params.read_text() == before
    more = project.run("mlops", "search", "--trials", "6", "--jobs", "2")
    assert "6 tried, 10 with those before" in more.stderr
    assert "Better: roc_auc gains" in more.stdout
    changed = [n for n, line in enumerate(params.read_text().splitlines()) if line not in before]
    assert len(changed) == 1
    assert "9999" not in params.read_text()
    again = project.run("mlops", "search", "--trials", "1", "--dry-run")
    assert "Nothing better was found" in again.stdout
