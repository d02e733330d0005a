"""New data comes in whole or not at all, and what is dropped on arrival is nowhere afterwards."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
import yaml
from parcels import CONTRACT, FILES, Project, make_project, make_rows
from test_hostile import CANARY, everything, personal, readable

from gatewright.contract.schema import parse_contract
from gatewright.contract.validation import Reason, violations
from gatewright.errors import Refused
from gatewright.paths import TRAIN

DROPPING = CONTRACT.replace("personal: true", "personal: true, on_arrival: drop")
CHANGES = {
    "contract.yaml": DROPPING,
    "src/parcels.py": FILES["src/parcels.py"].replace('rows.drop(columns="email")', "rows"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    def rows(n: int, first: int) -> pd.DataFrame:
        return make_rows(n, first).drop(columns="email")

    return make_project(tmp_path_factory.mktemp("dropping"), CHANGES, rows)


@pytest.fixture
def project(made: Project, tmp_path: Path) -> Project:
    """Its contract drops the e-mail address on arrival."""
    return made.copy(tmp_path / "project")


def arrives(project: Project, name: str = "2026-03", n: int = 500, first: int = 7000) -> Path:
    """A file in somebody's inbox, outside of the project."""
    path = project.root.parent / "inbox" / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    rows = personal(n, first)
    rows.attrs["source"] = f"{CANARY}-attribute"
    rows.set_index(rows["email"].rename("who")).to_parquet(path)
    return path


def raw(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (project.root / "data/raw").iterdir()}


def test_a_dropped_value_is_in_no_file_and_no_object_of_git(project: Project) -> None:
    said = [project.mlops("ingest", str(arrives(project)))]
    assert "1 files, 500 rows are in data/raw, without email." in said[0].out
    said.append(project.mlops("run"))
    project.commit("More")
    project.git("push", "--quiet")
    said += [project.mlops(*words) for words in (["push"], ["register"], ["gate", "--explain"])]
    said.append(project.mlops("promote", "1.0.0", "--to", "dev"))
    assert 7000 in set(pd.read_parquet(project.root / TRAIN)["number"]), "the rows are used"
    stored = everything(project, raw=set())
    assert len(stored) > 200
    assert [name for name, content in stored.items() if CANARY.encode() in readable(content)] == []
    assert CANARY not in "".join(each.out + each.err for each in said)


def test_single_bad_rows_go_to_the_quarantine(project: Project) -> None:
    path = arrives(project, "2026-04", first=8000)
    rows = pd.read_parquet(path)
    rows.loc[rows.index[:3], "height"] = 99.0
    rows.loc[rows.index[4], "email"] = None
    rows.iloc[7, rows.columns.get_loc("number")] = rows["number"].iloc[6]
    rows.iloc[9, rows.columns.get_loc("number")] = 100  # of another file
    rows.to_parquet(path)
    said = project.mlops("ingest", str(path)).out
    assert "1 files, 494 rows are in data/raw, without email." in said
    assert "6 bad rows are not, but in data/quarantine/2026-04.csv" in said
    kept = pd.read_csv(project.root / "data/quarantine/2026-04.csv")
    assert kept["row"].tolist() == [0, 1, 2, 4, 7, 9]
    assert kept["why"].tolist() == [
        *["height: above 9"] * 3,
        "email: missing where a value is needed",
        "number: the key stands more than once",
        "number: the key stands in another file too",
    ]
    assert "email" not in kept, "not even there"
    assert CANARY not in said
    assert project.git("status", "--porcelain", "--untracked-files=all") == ""
    project.mlops("check")
    new = pd.read_parquet(project.root / "data/raw/2026-04.parquet")["number"]
    assert set(new) == set(range(8000, 8500)) - {8000, 8001, 8002, 8004, 8007, 8009}


def test_what_is_mostly_bad_leaves_nothing(project: Project) -> None:
    good, bad = arrives(project, "2026-03"), arrives(project, "2026-04", first=8000)
    rows = pd.read_parquet(bad)
    rows.loc[rows.index[:200], "height"] = 99.0
    rows.to_parquet(bad)
    before = raw(project)
    said = project.mlops("ingest", str(good), str(bad), expect=1)
    for words in ("200 of 500 rows of 2026-04.parquet are bad", "height: above 9, in 200 rows"):
        assert words in said.err
    assert raw(project) == before
    assert not (project.root / "data/quarantine").exists()


def test_what_the_whole_table_breaks_leaves_nothing(project: Project) -> None:
    path = arrives(project, "2026-04", first=8000)
    rows = pd.read_parquet(path)
    for wrong, words in (
        (rows.drop(columns="height"), "column is absent"),
        (rows.assign(more=1), "not in the contract"),
        (rows.assign(height="tall"), "not of the contract's type"),
    ):
        wrong.to_parquet(path)
        before = raw(project)
        assert words in project.mlops("ingest", str(path), expect=1).err
        assert raw(project) == before


def test_a_correction_takes_the_place_of_what_it_corrects(project: Project) -> None:
    path = arrives(project, "corrected", n=20, first=100)
    rows = pd.read_parquet(path)
    rows.assign(height=1.25).to_parquet(path)
    said = project.mlops("ingest", str(path), "--corrects").out
    assert "They took the place of known rows in 2026-01.parquet." in said
    files = [pd.read_parquet(p) for p in sorted((project.root / "data/raw").glob("*.parquet"))]
    found = pd.concat(files)
    assert found["number"].is_unique
    assert (found.loc[found["number"].between(100, 119), "height"] == 1.25).all()
    assert len(found) == sum(len(pd.read_parquet(io.BytesIO(b))) for b in raw(project).values())
    project.mlops("check")
    assert (
        "correct nothing"
        in project.mlops(
            *("ingest", str(arrives(project, "new", first=9000)), "--corrects"), expect=1
        ).err
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [("integer", 3), ("number", 0.5), ("string", "new"), ("boolean", True), ("datetime", "2026")],
)
def test_a_column_that_comes_later_is_empty_in_the_rows_before(
    kind: str, value: object, project: Project
) -> None:
    path = arrives(project)
    rows = pd.read_parquet(path)
    rows["more"] = pd.Timestamp(str(value)) if kind == "datetime" else value
    rows.to_parquet(path)
    line = f"  more: {{type: {kind}, description: More, feature: false, nullable: true}}\n"
    contract = project.root / "contract.yaml"
    contract.write_text(DROPPING + line.replace(", nullable: true", ""))
    project.mlops("ingest", str(path))
    said = project.mlops("check", expect=1).err
    assert "column is absent" in said, "a column that may not be missing cannot come later"
    (project.root / "data/raw/2026-03.parquet").unlink()
    contract.write_text(DROPPING + line)
    said = project.mlops("ingest", str(path)).out
    assert "The rows that were here have no value in more, which is new." in said
    project.mlops("check")
    known = pd.read_parquet(project.root / "data/raw/2026-01.parquet")
    assert known["more"].isna().all()
    assert len(known) == 2000
    without = arrives(project, "2026-04", 9, 9000)
    assert "column is absent" in project.mlops("ingest", str(without), expect=1).err


def test_a_full_disk_leaves_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from gatewright.adapters.files import write_whole

    def full(path: Path, content: bytes) -> None:
        if path.name == "2026-04.parquet":
            raise Refused("no space left")
        write_whole(path, content)

    monkeypatch.setattr("gatewright.pipeline.ingest.write_whole", full)
    files = [arrives(project, "2026-03"), arrives(project, "2026-04", first=8000)]
    before = raw(project)
    project.mlops("ingest", *map(str, files), expect=1)
    assert raw(project) == before


def test_running_it_again_changes_nothing(project: Project) -> None:
    """As after a kill between two files."""
    first, second = arrives(project, "2026-03"), arrives(project, "2026-04", first=8000)
    project.mlops("ingest", str(first))
    project.mlops("ingest", str(first), str(second))
    before = raw(project)
    project.mlops("ingest", str(first), str(second))
    assert raw(project) == before


def test_nothing_is_overwritten(project: Project) -> None:
    project.mlops("ingest", str(arrives(project)))
    before = raw(project)
    said = project.mlops("ingest", str(arrives(project, n=400)), expect=1)
    assert "is there already and holds something else" in said.err
    assert raw(project) == before


def test_a_key_that_is_there_already_does_not_come_again(project: Project) -> None:
    before = raw(project)
    said = project.mlops("ingest", str(arrives(project, first=100)), expect=1)
    assert "All 500 rows of 2026-03.parquet are here already" in said.err
    assert "--corrects" in said.err
    assert raw(project) == before


@pytest.mark.parametrize("place", ["data/incoming", "."])
def test_a_file_that_git_would_keep_is_refused(place: str, project: Project) -> None:
    path = project.root / place / "2026-03.parquet"
    path.parent.mkdir(exist_ok=True)
    arrives(project).rename(path)
    said = project.mlops("ingest", str(path), expect=1)
    assert "lies where Git would keep it" in said.err
    (project.root / ".gitignore").write_text(f"*.parquet\n{FILES['.gitignore']}")
    project.mlops("ingest", str(path))


def test_only_files_from_elsewhere_are_brought_in(project: Project, tmp_path: Path) -> None:
    inside = project.root / "data/raw/2026-01.parquet"
    assert "lies in data/raw already" in project.mlops("ingest", str(inside), expect=64).err
    (tmp_path / "x.csv").write_text("a")
    assert "is no Parquet file" in project.mlops("ingest", str(tmp_path / "x.csv"), expect=64).err
    twice = [str(arrives(project)), str(arrives(project))]
    assert "Two files would be called" in project.mlops("ingest", *twice, expect=64).err


def test_without_the_data_there_is_nothing_to_bring_it_to(project: Project) -> None:
    source = arrives(project)
    clone = project.clone()
    assert "mlops setup" in clone.mlops("ingest", str(source), expect=1).err


def test_a_column_that_should_have_been_dropped_is_refused_by_the_pipeline(
    project: Project,
) -> None:
    personal(500, 7000).to_parquet(project.root / "data/raw/2026-03.parquet")
    said = project.mlops("check", expect=1)
    assert "to be dropped on arrival: bring the file in with `mlops ingest`" in said.err
    assert CANARY not in said.err


def test_a_contract_that_drops_nothing_keeps_every_column(trained: Project, tmp_path: Path) -> None:
    source = tmp_path / "2026-03.parquet"
    make_rows(500, 7000).to_parquet(source)
    trained.mlops("ingest", str(source))
    kept = pd.read_parquet(trained.root / "data/raw/2026-03.parquet")
    pd.testing.assert_frame_equal(kept, pd.read_parquet(source))
    trained.mlops("check")


def test_what_arrives_may_have_the_column_or_not() -> None:
    contract, rows = parse_contract(DROPPING), make_rows(50)
    bare = rows.drop(columns="email")
    assert violations(contract, rows, arriving=True).empty
    assert violations(contract, bare, arriving=True).empty
    assert violations(contract, bare).empty
    assert violations(contract, rows)["reason"].tolist() == [Reason.NOT_DROPPED]


def test_only_a_personal_column_is_dropped() -> None:
    content = yaml.safe_load(CONTRACT)
    content["columns"]["height"]["on_arrival"] = "drop"
    with pytest.raises(Refused, match="only a personal column is dropped on arrival"):
        parse_contract(yaml.safe_dump(content))
