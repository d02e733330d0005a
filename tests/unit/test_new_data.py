"""New rows become one pull request, and running it again updates that one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from hub import Hub
from parcels import CONTRACT, Project, make_rows
from runs import Runs

from gatewright.contract.schema import parse_contract
from gatewright.release.new_data import changes_of

COLUMNS = {
    name: {"source": name, "type": about["type"]}
    for name, about in yaml.safe_load(CONTRACT)["columns"].items()
}
COLUMNS["sent"]["format"] = "ISO 8601"
COLUMNS["broken"] = {"source": "broken", "type": "boolean", "yes": ["yes"], "no": ["no"]}
SOURCES = {"origin": {"place": "${SOURCE}"}, "target": "broken", "columns": COLUMNS}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "inbox.csv"


@pytest.fixture
def runs(released: Project, hub: Hub, inbox: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """A released project whose new rows come from a file."""
    (released.root / "sources.yaml").write_text(yaml.safe_dump(SOURCES))
    released.commit("Where new rows come from")
    released.git("push", "--quiet", "origin", "main")
    monkeypatch.setenv("SOURCE", str(inbox))
    made = Runs(released, hub, monkeypatch)
    made.start(9, "ingest.yml")
    return made


def arrives(inbox: Path, n: int = 400, first: int = 7000, bad: int = 0) -> None:
    rows = make_rows(n, first)
    rows.loc[rows.index[:bad], "height"] = 99.0
    rows["broken"] = rows["broken"].map({True: "yes", False: "no"})
    rows.to_csv(inbox, index=False)


def test_new_rows_become_a_pull_request_that_is_updated(runs: Runs, inbox: Path) -> None:
    project, hub = runs.project, runs.hub
    main = project.git("rev-parse", "HEAD")
    arrives(inbox, bad=3)
    said = project.mlops("collect").out
    assert "397 rows are in data/raw" in said
    (pull,) = hub.pulls
    assert (pull["title"], pull["head"]["ref"], pull["base"]["ref"]) == (
        *("New data: 397 rows", "data/new", "main"),
    )
    assert "3 bad rows are not" in pull["body"]
    assert "height: above 9, in 3 rows" in pull["body"]
    assert "| weight | ▇" in pull["body"] or "| weight | █" in pull["body"]
    assert "email" not in pull["body"]
    assert "presses `Approve workflows to run`" in said
    project.git("fetch", "--quiet", "origin")
    changed = project.git("diff", "--name-only", main, "origin/data/new").split()
    assert set(changed) <= {"dvc.lock", "data/raw.dvc", "reports/data.json", "reports/metrics.json"}
    assert "dvc.lock" in changed
    assert project.git("rev-parse", "HEAD") == main, "the branch at hand stays"

    (project.root / "data/raw/inbox.parquet").unlink()  # as in a clone of its own
    project.git("checkout", "--quiet", "--", ".")
    arrives(inbox, n=500)
    assert "500 rows are in data/raw" in project.mlops("collect").out
    (pull,) = hub.pulls
    assert pull["title"] == "New data: 500 rows"
    project.git("fetch", "--quiet", "--force", "origin", "+data/new:refs/remotes/origin/data/new")
    assert project.git("log", "--format=%s", f"{main}..origin/data/new") == "New data: 500 rows"


def test_where_nothing_came_nothing_is_proposed(runs: Runs, inbox: Path) -> None:
    inbox.write_text(",".join(COLUMNS) + "\n\n\n")
    assert "Nothing new has come." in runs.project.mlops("collect").out
    assert runs.hub.pulls == []
    assert "data/new" not in runs.project.git("ls-remote", "origin")


def test_what_ingest_refuses_is_not_proposed(runs: Runs, inbox: Path) -> None:
    arrives(inbox, bad=300)
    assert "300 of 400 rows" in runs.project.mlops("collect", expect=1).err
    arrives(inbox, first=100)
    assert "are here already" in runs.project.mlops("collect", expect=1).err
    assert runs.hub.pulls == []


def test_where_actions_open_no_pull_request_the_run_says_where(runs: Runs, inbox: Path) -> None:
    runs.hub.permissions["can_approve_pull_request_reviews"] = False
    arrives(inbox)
    said = runs.project.mlops("collect").out
    assert "Actions may not open pull requests here" in said
    assert "https://github.com/acme/late-flights/compare/main...data/new?expand=1" in said


def test_it_starts_from_what_is_merged(runs: Runs, inbox: Path) -> None:
    project = runs.project
    arrives(inbox)
    project.edit("gates.yaml", "min: 500", "min: 501")
    assert "Files are changed and not committed" in project.mlops("collect", expect=1).err
    project.commit("Not pushed")
    assert "this is not the newest commit of main" in project.mlops("collect", expect=1).err


def test_without_an_origin_there_is_nowhere_to_propose(trained: Project) -> None:
    trained.git("remote", "remove", "origin")
    said = trained.mlops("collect", expect=1).err
    assert "there is no origin" in said


def test_what_changed_most_comes_first() -> None:
    known = make_rows(2000).drop(columns="email")
    new = make_rows(500, 9000).drop(columns="email")
    new["height"] += 3
    new.loc[new.index[:100], "weight"] = None
    lines = changes_of(known, new, parse_contract(CONTRACT))
    assert lines[0][0] == "height"
    assert lines[0][1] != lines[0][2]
    weight = next(line for line in lines if line[0] == "weight")
    assert weight[4].endswith("→ 20.0%") or "→ 2" in weight[4]
    assert {line[0] for line in lines} == {"broken", "shop", "weight", "height"}
    pd.testing.assert_frame_equal(known, make_rows(2000).drop(columns="email"))
