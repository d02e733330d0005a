"""What is guessed of a table: types, target, roles. Each guess can be wrong, and says why it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gatewright.adoption.documents import contract_text, params_text, sources_text
from gatewright.adoption.profile import Profile, profile
from gatewright.adoption.thresholds import gates_text, too_few
from gatewright.contract.holes import holes_of
from gatewright.contract.schema import parse_contract
from gatewright.contract.validation import violations
from gatewright.errors import Misuse, Refused
from gatewright.gate.policy import parse_policies
from gatewright.sources.guess_roles import guess_group
from gatewright.sources.guess_target import guess_target
from gatewright.sources.guess_types import guess_type
from gatewright.sources.recipe import (
    ColumnRecipe,
    parse_recipe,
    read_column,
    read_table,
    row_digests,
)
from gatewright.sources.texts import STYLES, NumberStyle

# Types

TYPES: dict[str, tuple[list[Any], str, list[Any]]] = {
    "whole numbers": (["1", "2", "30"], "integer", [1, 2, 30]),
    "whole numbers, one missing": (["1", "", "30"], "integer", [1, None, 30]),
    "numbers": (["1.5", "-2", "3e2"], "number", [1.5, -2, 300]),
    "a decimal comma": (["1,5", "-2", "0,25"], "number", [1.5, -2, 0.25]),
    "thousands": (["1,234.5", "12", "1,000,000"], "number", [1234.5, 12, 1e6]),
    "thousands as in Germany": (["1.234,5", "12", "1.000.000"], "number", [1234.5, 12, 1e6]),
    "only thousands": (["1,234", "2,345", "9,999"], "integer", [1234, 2345, 9999]),
    "money": (["$1,234.50", "$2.00", "$3.10"], "number", [1234.5, 2, 3.1]),
    "per cent": (["12 %", "3.5 %", "7%"], "number", [12, 3.5, 7]),
    "a word for unknown": (["1", "unknown", "3"], "integer", [1, None, 3]),
    "codes that begin with 0": (["00123", "04567", "12345"], "string", ["00123", "04567", "12345"]),
    "yes and no": (["yes", "No", "yes"], "boolean", [True, False, True]),
    "ja und nein": (["ja", "nein", ""], "boolean", [True, False, None]),
    "0 and 1": (["0", "1", "1"], "boolean", [False, True, True]),
    "0.0 and 1.0": (["0.0", "1.0", "1"], "boolean", [False, True, True]),
    "t and f": (["t", "f", "t"], "boolean", [True, False, True]),
    "ISO dates": (["2024-01-05", "2024-02-29", ""], "datetime", ["2024-01-05", "2024-02-29", None]),
    "ISO moments": (
        ["2024-01-05T10:30:00Z", "2024-01-05 12:30"],
        "datetime",
        ["2024-01-05 10:30", "2024-01-05 12:30"],
    ),
    "dates of Germany": (["31.12.2024", "01.02.2024"], "datetime", ["2024-12-31", "2024-02-01"]),
    "dates of America": (["12/31/2024", "02/01/2024"], "datetime", ["2024-12-31", "2024-02-01"]),
    "dates in words": (["Jan 5, 2024", "Dec 31, 2023"], "datetime", ["2024-01-05", "2023-12-31"]),
    "dates and hours": (
        ["5/1/2024 9:30", "31/1/2024 17:05"],
        "datetime",
        ["2024-01-05 09:30", "2024-01-31 17:05"],
    ),
    "dates as numbers": (["20240105", "20231231"], "datetime", ["2024-01-05", "2023-12-31"]),
    "texts": (["red", "NA", "blue"], "string", ["red", None, "blue"]),
    "texts and numbers": (["12", "x", "13"], "string", ["12", "x", "13"]),
    "YAML's no": (["No", "Norway", "Yes"], "string", ["No", "Norway", "Yes"]),
}


@pytest.mark.parametrize(("texts", "kind", "wanted"), TYPES.values(), ids=TYPES.keys())
def test_what_texts_say(texts: list[Any], kind: str, wanted: list[Any]) -> None:
    values = pa.chunked_array([pa.array(texts, pa.string())])
    guess = guess_type(values, "c")
    assert guess.how is not None
    assert guess.how.type == kind
    read, wrong = read_column(values, guess.how)
    assert not len(wrong)
    for got, want in zip(read.tolist(), wanted, strict=True):
        assert (
            pd.isna(got)
            if want is None
            else got == (pd.Timestamp(want) if kind == "datetime" else want)
        )


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["01/02/2024", "03/04/2024"], "every one would fit %m/%d/%Y too"),
        (["01/02/24", "03/04/24"], "every one would fit %m/%d/%y too"),
        (["1,234", "2,345"], "read as thousands"),
    ],
)
def test_a_doubt_is_told(texts: list[str], said: str) -> None:
    guess = guess_type(pa.chunked_array([pa.array(texts)]), "c")
    assert guess.matters
    assert said in guess.evidence


LEFT_OUT = {
    "nothing": (pa.array([None, None], pa.string()), "no row has a value"),
    "spaces": (pa.array(["", " "]), "no row has a value"),
    "one value": (pa.array(["x", "x"]), "all rows say 'x'"),
    "one number": (pa.array([7, 7]), "all rows say 7"),
    "lists": (pa.array([[1], [2]]), "which no model computes with"),
    "bytes": (pa.array([b"a", b"b"]), "which no model computes with"),
}


@pytest.mark.parametrize(("values", "why"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_a_column_that_says_nothing_is_left_out(values: pa.Array, why: str) -> None:
    guess = guess_type(pa.chunked_array([values]), "c")
    assert guess.how is None
    assert why in guess.evidence


TYPED = {
    "a zone": (
        pa.array([0, 3600], pa.timestamp("s", "Europe/Berlin")),
        "datetime",
        pd.Timestamp("1970-01-01"),
    ),
    "a date": (pa.array([0, 1], pa.date32()), "datetime", pd.Timestamp("1970-01-01")),
    "decimals": (pa.array([1.5, 2.5]).cast(pa.decimal128(5, 2)), "number", 1.5),
    "a dictionary": (pa.array(["x", "y"]).dictionary_encode(), "string", "x"),
    "whole floats": (pa.array([1.0, 2.0, None]), "integer", 1),
    "truths": (pa.array([True, False, None]), "boolean", True),
}


@pytest.mark.parametrize(("values", "kind", "first"), TYPED.values(), ids=TYPED.keys())
def test_typed_columns_keep_their_type(values: pa.Array, kind: str, first: Any) -> None:
    column = pa.chunked_array([values])
    guess = guess_type(column, "c")
    assert guess.how is not None
    assert guess.how.type == kind
    assert read_column(column, guess.how)[0][0] == first


def test_a_later_value_that_cannot_be_read_is_told_by_its_row() -> None:
    how = ColumnRecipe(source="c", type="number", decimal=",", missing=("gone",))
    texts = ["1,5", "x", None, "2.5", "gone"]
    read, wrong = read_column(pa.chunked_array([pa.array(texts)]), how)
    assert wrong.tolist() == [1, 3]
    assert read.isna().tolist() == [False, True, True, True, True]


# Target

TARGETS: dict[str, tuple[list[Any], str, Any]] = {
    "yes and no": (["Yes", "No"] * 20, "binary", "Yes"),
    "0 and 1": ([0, 1] * 20, "binary", "1"),
    "1 and 2": ([1, 2] * 20, "binary", "2"),
    "words for an event": (["benign"] * 10 + ["malignant"] * 30, "binary", "malignant"),
    "the rarer word": (["red"] * 10 + ["blue"] * 30, "binary", "red"),
    "several texts": (["a", "b", "c"] * 20, "multiclass", None),
    "codes": ([0, 1, 2] * 20, "multiclass", None),
    "amounts": ([3, 5, 8, 60] * 20, "regression", None),
    "numbers": ([0.5, 1.5, 2.5] * 20, "regression", None),
    "many whole numbers": (list(range(40)), "regression", None),
}


@pytest.mark.parametrize(("values", "task", "event"), TARGETS.values(), ids=TARGETS.keys())
def test_the_task_is_known_by_the_target(values: list[Any], task: str, event: Any) -> None:
    guess = guess_target(pa.chunked_array([pa.array(values)]), "t")
    assert (guess.task, guess.event) == (task, event)


NO_TARGET: dict[str, tuple[list[Any], Any, str]] = {
    "one value": (["x"] * 40, None, "'x' in every row"),
    "nothing": ([None] * 40, None, "nothing in any row"),
    "a rare class": (["a", "b"] * 20 + ["c"], None, "'c' \\(1\\)"),
    "names": ([f"n{n}" for n in range(40)], None, "40 different texts"),
    "texts as numbers": (["a", "b"] * 20, "regression", "is no number"),
    "three of two": (["a", "b", "c"] * 20, "binary", "has 3 values, not two"),
}


@pytest.mark.parametrize(("values", "task", "words"), NO_TARGET.values(), ids=NO_TARGET.keys())
def test_what_cannot_be_learnt_is_refused(values: list[Any], task: Any, words: str) -> None:
    column = pa.chunked_array([pa.array(values, pa.string())])
    with pytest.raises(Refused, match=words):
        guess_target(column, "t", task)


# Roles


def people(n: int = 600, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "customer_id": [f"C{at % (n // 4):04d}" for at in range(n)],
            "visited": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), unit="h"),
            "first name": [f"Name{at}" for at in range(n)],
            "contact": [f"a{at}@example.com" for at in range(n)],
            "gender": draw.choice(["f", "m"], n),
            "spent": draw.normal(50, 10, n).round(2),
            "plan": draw.choice(["basic", "plus"], n),
            "remark": [
                f"They said that this is row {at} and much more than that, at length"
                for at in range(n)
            ],
        }
    )
    rows["left"] = np.where(draw.random(n) < (rows["spent"] > 50) * 0.6 + 0.1, "yes", "no")
    rows["reason"] = np.where(rows["left"] == "yes", "moved away", "")
    return rows


def of(rows: pd.DataFrame, target: str, **more: Any) -> Profile:
    return profile(pa.Table.from_pandas(rows, preserve_index=False), target, **more)


def test_roles_of_columns() -> None:
    found = of(people(), "left")
    assert found.personal == ("first name", "contact")
    assert found.time == "visited"
    assert found.group == "customer_id"
    assert found.key == ("visited",) or "customer_id" in found.key
    assert {name for name, (role, _) in found.roles.items() if role == "leak"} == {"reason"}
    assert found.roles["remark"][1].value in ("prose", "an identifier")
    assert found.people == ("gender",)
    assert set(found.features) >= {"gender", "spent", "plan", "visited_hour"}
    assert not {"remark", "reason", "contact", "visited", "customer_id"} & set(found.features)
    assert found.slices[0] in ("gender", "plan")
    assert found.baseline[0] == "spent"


def test_the_contract_says_what_was_guessed_and_the_rows_keep_it() -> None:
    found = of(people(), "left")
    text = contract_text(found, 'A "name"', "It says: who leaves")
    contract = parse_contract(text)
    rows = found.rows.drop(columns=list(found.personal))
    assert violations(contract, rows).empty
    assert contract.columns["contact"].personal
    assert contract.columns["contact"].on_arrival == "drop"
    assert contract.columns["reason"].afterwards
    assert contract.name == 'A "name"'
    assert "its values look like an e-mail address" in text
    assert len(holes_of(text)) >= len(found.recipe.columns) - 1


def test_the_same_file_is_read_in_the_same_way_by_what_was_written_down() -> None:
    rows = people()
    found = of(rows, "left")
    recipe = parse_recipe(sources_text(found))
    again, unread = read_table(pa.Table.from_pandas(rows, preserve_index=False), recipe)
    assert not unread
    pd.testing.assert_frame_equal(again[list(found.rows)], found.rows, check_dtype=False)


def test_rows_without_a_key_are_told_apart_by_what_they_hold() -> None:
    rows = people()[["spent", "plan", "left"]]
    twice = pd.concat([rows, rows.head(3)])
    found = of(twice, "left")
    assert found.key == ("row_id",)
    assert found.rows["row_id"].is_unique
    other = of(twice.sample(frac=1, random_state=1), "left")
    assert set(found.rows["row_id"]) == set(other.rows["row_id"])


def test_a_row_keeps_its_name_whatever_stands_beside_it() -> None:
    rows = pd.DataFrame(
        {"n": [1, 2], "x": [0.5, 1.5], "when": pd.to_datetime(["2024-01-05", "2024-01-06"])}
    )
    gap = float("nan")
    beside = pd.DataFrame({"n": [gap], "x": [gap], "when": [pd.Timestamp("2024-01-07 10:30")]})
    both = pd.concat([rows, beside], ignore_index=True)
    both["when"] = both["when"].astype("datetime64[ns]")
    alone = row_digests(rows, ["n", "x", "when"])
    assert both["n"].dtype != rows["n"].dtype
    assert row_digests(both, ["n", "x", "when"])[:2].tolist() == alone.tolist()


def test_a_name_of_a_row_tells_nothing_of_a_person() -> None:
    rows = people()[["contact", "spent", "plan", "left"]]
    other = rows.assign(contact=[f"b{at}@example.org" for at in range(len(rows))])
    assert of(rows, "left").key == ("row_id",)
    assert of(rows, "left").rows["row_id"].equals(of(other, "left").rows["row_id"])
    recipe = parse_recipe(sources_text(of(rows, "left")))
    names = [
        read_table(pa.Table.from_pandas(some, preserve_index=False), recipe)[0]["row_id"]
        for some in (rows, other)
    ]
    assert names[0].equals(names[1])
    assert names[0].tolist() == of(rows, "left").rows["row_id"].tolist()


@pytest.mark.parametrize("target", ["left", "spent", "plan"])
def test_what_is_written_can_be_read(target: str) -> None:
    found = of(people(), target)
    contract = parse_contract(contract_text(found, "x", "y"))
    assert parse_policies(gates_text(found, None), contract=contract).environments == [
        *("dev", "staging", "production")
    ]
    assert "leaves: 6" in params_text(found)


def test_amounts_that_hardly_repeat_name_no_rows() -> None:
    rows = people().assign(
        income=np.random.default_rng(1).integers(10_000, 900_000, 600), row=range(600)
    )
    found = of(rows.drop(columns=["visited", "customer_id"]), "left")
    assert found.recipe.columns["income"].type == "number"
    assert "income" in found.features
    assert found.key == ("row",)
    assert "row" not in found.features


def test_few_rows_say_how_many_would_do() -> None:
    found = of(people(120), "left")
    assert "rows in all would do" in str(too_few(found))
    assert "enough: 200" in gates_text(found, None)
    assert "enough" not in gates_text(of(people(4000), "spent"), None)


def test_rows_that_repeat_widen_what_is_usual_of_copies() -> None:
    rows = people(2000)[["plan", "gender", "spent", "left"]].round(0)
    repeated = gates_text(of(rows, "left"), None)
    assert "of the rows are like another one" in repeated
    assert "max_same" not in gates_text(of(people(2000), "left"), None)


ODD = [
    "a b",
    "käse",
    "\U0001f600",
    "for",
    "No",
    "null",
    "1",
    "a: b",
    "#x",
    "{y}",
    "it's",
    'q"q',
    "-",
]


def test_odd_names_are_names() -> None:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({name: draw.normal(size=300) for name in ODD})
    rows["Ziel ja/nein?"] = np.where(rows["a b"] + draw.normal(size=300) > 0, "Ja", "Nein")
    found = of(rows, "Ziel ja/nein?")
    contract = parse_contract(contract_text(found, "x", "y"))
    assert set(ODD) <= set(contract.columns)
    assert violations(contract, found.rows).empty
    assert set(parse_recipe(sources_text(found)).columns) == {*ODD, "Ziel ja/nein?"}


def test_what_has_no_such_column_or_nothing_to_learn_from() -> None:
    with pytest.raises(Misuse, match="no column 'nowhere'"):
        of(people(), "nowhere")
    with pytest.raises(Refused, match="no other"):
        of(people()[["left"]], "left")
    with pytest.raises(Refused, match="12 rows with a value"):
        of(people(12), "left")
    with pytest.raises(Refused, match="No column but the target"):
        of(people()[["left"]].assign(same="x"), "left")
    with pytest.raises(Refused, match="No column is left"):
        of(people()[["left", "reason", "contact"]], "left")


WRITTEN = [NumberStyle(), *STYLES, NumberStyle(".", ",", "$"), NumberStyle(",", ".", "€")]


@pytest.mark.parametrize("style", WRITTEN, ids=str)
def test_many_texts_are_numbers_as_each_alone_is(style: NumberStyle) -> None:
    """A column is read at once; what is a number, and which, is said of one text."""
    draw = np.random.default_rng(0)
    letters = np.array(list("0123456789.,' +-eE"))
    texts = ["".join(draw.choice(letters, draw.integers(1, 9))) for _ in range(3000)]
    texts += ["", "1,234", "1.234,5", "12 345,6", "1'000.5", "+5", ".5", "5.", "1e5", "-1E-3"]
    texts += ["+-5", "1\n", "1_000", "0x10", "inf", "nan", "1e400", "007", "9" * 25, "12 €", "$7"]
    texts += ["\uff11\uff12", "\u0663"]  # digits, but not ours
    alone = [float(style.plain(text)) if style.fits(text) else np.nan for text in texts]
    np.testing.assert_array_equal(style.numbers(pd.Series(texts, dtype="str")), alone)
    assert np.isfinite(alone).sum() > 100
    assert np.isnan(alone[-2:]).all()


def tracks(names: list[str], rows_each: int = 12) -> pd.DataFrame:
    """Positions of storms, each in a run of rows."""
    draw = np.random.default_rng(0)
    n = len(names) * rows_each
    hour = np.tile(np.arange(rows_each) * 6, len(names))
    return pd.DataFrame(
        {
            "storm": np.repeat(names, rows_each),
            "since": hour,
            "wind": draw.normal(50, 9, n),
            "pressure": draw.normal(990, 9, n).round(),
        }
    )


NAMED = [f"{a}{b}" for a in "BDFGKLMNRT" for b in ("ane", "eryl", "iona", "ust")]


def in_runs() -> dict[str, tuple[pd.DataFrame, str | None]]:
    """Tables, and the column that groups them."""
    draw = np.random.default_rng(1)
    mixed = [NAMED[at] for at in draw.permutation(len(NAMED))]
    storms = tracks(mixed)
    days = pd.date_range("2020-01-01", periods=1461)
    towns = np.repeat(draw.integers(200, 700, 60), 8)
    return {
        "names, in no order": (storms.drop(columns="since"), "storm"),
        "names that come again years later": (tracks(mixed * 3).drop(columns="since"), "storm"),
        "names in order, and a clock": (tracks(sorted(NAMED)), "storm"),
        "numbers in order, and a clock": (
            tracks(NAMED).assign(curve=np.repeat(np.arange(40), 12)).drop(columns="storm"),
            "curve",
        ),
        "shuffled": (storms.sample(frac=1, random_state=0, ignore_index=True), None),
        "sorted by a category": (tracks(sorted(NAMED)).drop(columns="since"), None),
        "few categories": (tracks(mixed[:9], 40).drop(columns="since"), None),
        "long stretches": (tracks(mixed, 90).drop(columns="since"), None),
        "a tax that neighbours share": (
            pd.DataFrame({"tax": towns, "rooms": draw.normal(6, 1, 480)}),
            None,
        ),
        "weeks and months of days": (
            pd.DataFrame(
                {
                    "week": days.isocalendar().week.to_numpy(dtype=int),
                    "month": days.month,
                    "rain": draw.gamma(1, 3, len(days)),
                }
            ),
            None,
        ),
        "months of years": (
            pd.DataFrame(
                {
                    "year": np.repeat(np.arange(1949, 1969), 12),
                    "month": np.tile(np.arange(1, 13), 20),
                    "passengers": draw.normal(size=240),
                }
            ),
            None,
        ),
    }


@pytest.mark.parametrize("name", in_runs())
def test_runs_of_rows_that_share_a_value_are_a_group(name: str) -> None:
    rows, wanted = in_runs()[name]
    rows = rows.astype({n: "str" for n in rows if n == "storm"})
    guess = guess_group(rows, list(rows), ())
    assert (guess.value if guess else None) == wanted
    if guess:
        assert "runs of 12 rows on average" in guess.evidence
        assert guess.matters, "a person should confirm it"
