"""The page about a table shows what is suspicious, shows no person, and loads nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from parcels import Project

from gatewright.looking.look import look_at_file

EVIL = "<script>alert(1)</script>\" onload='x'"


def table(n: int = 3000) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), "h"),
            "size": draw.normal(10, 2, n),
            "kind": draw.choice(["a", "b", EVIL], n),
            "late": np.where(draw.random(n) < 0.3, "yes", "no"),
        }
    )


def half_missing(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(size=rows["size"].where(rows.index % 5 > 1))


def gone_late(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(size=rows["size"].where((rows.index < 2400) | (rows.index % 2 == 0)))


def a_code(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(size=rows["size"].where(rows.index % 100 != 0, -999.0))


def a_jump(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(size=rows["size"] + 20 * (rows.index > 2000))


def a_new_value(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(kind=rows["kind"].where((rows.index < 2500) | (rows.index % 9 > 0), "new"))


def one_value(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(kind=np.where(rows.index == 7, "b", "a"))


def twins(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(twin=rows["size"] * 2 + 1)


def twice(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, rows.head(30)])


def a_leak(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(fine=np.where(rows["late"] == "yes", 12.5, rows.index % 7))


def no_target(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(late=rows["late"].where(rows.index > 30, ""))


PLANTED = {
    half_missing: "size: 40% missing",
    gone_late: "size: missing in",
    a_code: "and often means 'not known'",
    a_jump: "size: its mean jumps by",
    a_new_value: "kind: values that only come late: 'new'",
    one_value: "kind: 100.0% of the rows say 'a'",
    twins: "twin: says the same as 'size'",
    twice: "all columns: 30 rows are the same as another one",
    a_leak: "fine: tells the target alone",
    no_target: "late: 31 rows have no target",
}


def seen(rows: pd.DataFrame, folder: Path) -> tuple[list[str], str]:
    rows.to_csv(folder / "table.csv", index=False)
    found = look_at_file(str(folder / "table.csv"), folder / "look.html", "late")
    said = [f"{suspicion.column}: {suspicion.words}" for suspicion in found]
    return said, (folder / "look.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_what_is_suspicious_is_told_alone(plant: object, tmp_path: Path) -> None:
    said, _ = seen(plant(table()), tmp_path)  # type: ignore[operator]
    assert len(said) == 1, said
    assert PLANTED[plant] in said[0]  # type: ignore[index]


def test_whole_numbers_are_amounts_and_no_classes(tmp_path: Path) -> None:
    rows = table()
    rows["price"] = (rows["size"] * 100).round().astype(int)
    rows.to_csv(tmp_path / "table.csv", index=False)
    found = look_at_file(str(tmp_path / "table.csv"), tmp_path / "look.html", "price")
    assert [s.column for s in found if "share of the variance" in s.words] == ["size"]


def test_a_table_without_faults_is_not_suspicious(tmp_path: Path) -> None:
    said, page = seen(table(), tmp_path)
    assert said == []
    assert "Nothing is suspicious." in page


def test_pictures_share_one_scale_and_what_is_rare_has_none(tmp_path: Path) -> None:
    rows = table()
    rows["who"] = [f"somebody {at}" for at in range(len(rows))]
    rows["size"] = rows["size"] * 100_000
    rows["late"] = np.where(rows["kind"] == "a", "yes", rows["late"])
    _, page = seen(rows, tmp_path)
    assert "Dots are the share of late, in all pictures from " in page
    assert "No value is frequent enough for a picture." in page
    assert "e+0" not in page, "numbers are written out"
    kind = page.partition("<h3>kind</h3>")[2].partition("</section>")[0]
    assert "polyline" not in kind, "nothing lies between two categories"
    assert ">a</text>" in kind
    heights = [float(y.partition('"')[0]) for y in kind.split('cy="')[1:]]
    assert min(heights) < 10 < 30 < max(heights), "of all columns it tells most"


class Tags(HTMLParser):
    """What a page holds: its tags, the addresses in them, and what is open at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [str(v) for n, v in attrs if n in ("href", "src", "data", "action")]
        self.handlers += [n for n, _ in attrs if n.startswith("on")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    _, page = seen(table().rename(columns={"size": EVIL}), tmp_path)
    tags = Tags()
    tags.feed(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(tags.tags)
    assert tags.addresses == []
    assert tags.handlers == []
    assert tags.open == []
    assert "url(" not in page
    assert "@import" not in page
    drawn = page.count('role="img"')
    assert drawn == page.count("<svg") == page.count("aria-label=")
    assert drawn >= 4


def test_the_raw_data_is_looked_at_without_people(trained: Project) -> None:
    raw = trained.root / "data/raw/2026-01.parquet"
    rows = pd.read_parquet(raw)
    rows.assign(email="zyxwv@example.com").to_parquet(raw)
    said = trained.mlops("look").out
    page = (trained.root / "reports/look.html").read_text(encoding="utf-8")
    assert "reports/look.html shows all of it" in said
    assert "zyxwv" not in page
    assert "email" not in page
    assert "height" in page


def test_what_cannot_be_looked_at_is_refused(trained: Project, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 50)
    path = str(tmp_path / "t.csv")
    assert "no column 'c'" in trained.mlops("look", path, "--target", "c", expect=64).err
    assert "one value in all rows" in trained.mlops("look", path, "--target", "a", expect=1).err
    assert "is not there" in trained.mlops("look", "nothing.csv", expect=64).err
