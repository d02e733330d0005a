"""Forms of a model: what a plan, and its SQL, answer is what scikit-learn answers."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from postgres import Postgres
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from gatewright.contract.schema import Contract, parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.predictions import request_rows
from gatewright.forms.ask import Asker, linked, quick, walked
from gatewright.forms.compile import NoPlan, compile_model
from gatewright.forms.explain import Explainer
from gatewright.forms.plan import Linear, Lookup, Plan, Trees, parse_plan, plan_text
from gatewright.forms.prove import (
    Proof,
    asked,
    asked_in_sqlite,
    compared,
    from_database,
    hard_rows,
    model_answers,
    plain_rows,
    requests_of,
)
from gatewright.forms.sql import DIALECTS, Dialect, sql_of

N = 1500
CONTRACT = """\
name: Parcels
description: Whether a parcel arrives whole
key: ["k0", 'a "quoted" key']
target: {name: broken, description: It is broken%(target)s}
prediction: {name: 'answer "of" it', description: how probable%(range)s}
columns:
  k0: {type: integer, description: number, feature: false}
  'a "quoted" key': {type: integer, description: number, feature: false}
  way: {type: string, description: by, nullable: true}
  "O'Brien": {type: string, description: a name with a quote, values: [a, "b'c", 'd"e']}
  wet: {type: boolean, description: rained on}
  sealed: {type: boolean, description: sealed, nullable: true}
  weight: {type: number, description: weight, nullable: true}
  größe: {type: number, description: height, min: 0, max: 100}
  "select": {type: integer, description: a keyword, min: 0, max: 60}
"""
CLASSES = ["whole", "dented", "broken"]
KINDS = {
    "binary": {"target": "", "range": ""},
    "multiclass": {"target": ", type: multiclass, classes: [whole, dented, broken]", "range": ""},
    "regression": {"target": ", type: regression", "range": ", min: -1000, max: 1000"},
}
CATEGORIES = ["way", "O'Brien", "wet", "sealed"]
NUMBERS = ["weight", "größe", "select"]


def contract_of(kind: str) -> Contract:
    return parse_contract(CONTRACT % KINDS[kind])


def rows_of(seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    way = draw.choice(["road", "rail", "sea", "air", "mule"], N, p=[0.4, 0.3, 0.2, 0.09, 0.01])
    rows = pd.DataFrame(
        {
            "k0": np.arange(N),
            'a "quoted" key': np.arange(N),
            "way": pd.Series(way, dtype="str").mask(pd.Series(draw.random(N) < 0.1)),
            "O'Brien": draw.choice(["a", "b'c", 'd"e'], N),
            "wet": draw.random(N) < 0.3,
            "sealed": draw.choice(np.array([True, False, None], dtype=object), N),
            "weight": np.where(draw.random(N) < 0.2, np.nan, draw.lognormal(size=N).round(2)),
            "größe": draw.uniform(0, 100, N),
            "select": draw.integers(0, 60, N),
        }
    )
    raw = rows["weight"].fillna(0) + (rows["way"] == "sea") + rows["größe"] / 50 - rows["wet"]
    rows["raw"] = raw + (rows["select"] > 30) + draw.normal(size=N)
    return rows


def target_of(rows: pd.DataFrame, kind: str) -> Any:
    if kind == "regression":
        return rows["raw"].to_numpy() * 10
    if kind == "binary":
        return rows["raw"].to_numpy() > 2.5
    return np.array(CLASSES)[np.digitize(rows["raw"], [1.8, 3.0])]


def codes() -> OrdinalEncoder:
    return OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-2,
        min_frequency=50,
    )


def filled() -> SimpleImputer:
    return SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)


def for_trees() -> Any:
    return ColumnTransformer([("c", codes(), CATEGORIES), ("n", "passthrough", NUMBERS)])


def for_forest() -> Any:
    return ColumnTransformer([("c", codes(), CATEGORIES), ("n", filled(), NUMBERS)])


def for_linear() -> Any:
    hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50)
    scaled = make_pipeline(filled(), StandardScaler())
    return ColumnTransformer([("h", hot, CATEGORIES), ("n", scaled, NUMBERS), ("x", "drop", [])])


def with_threshold(model: Any, rows: pd.DataFrame, target: Any) -> Any:
    cut = FixedThresholdClassifier(
        FrozenEstimator(model.fit(rows, target)), threshold=0.3, response_method="predict_proba"
    )
    return cut.fit(rows, target)


MODELS: dict[str, tuple[str, Any]] = {
    "boosting": (
        "binary",
        lambda: Pipeline(
            [("f", for_trees()), ("m", HistGradientBoostingClassifier(max_iter=30, random_state=0))]
        ),
    ),
    "boosting of large trees": (
        "binary",
        lambda: Pipeline(
            [
                ("f", for_trees()),
                (
                    "m",
                    HistGradientBoostingClassifier(
                        max_iter=5, max_leaf_nodes=200, min_samples_leaf=2, random_state=0
                    ),
                ),
            ]
        ),
    ),
    "boosting of 40 leaves": (
        "regression",
        lambda: Pipeline(
            [
                ("f", for_trees()),
                ("m", HistGradientBoostingRegressor(max_iter=9, max_leaf_nodes=40, random_state=0)),
            ]
        ),
    ),
    "boosting of several classes": (
        "multiclass",
        lambda: Pipeline(
            [("f", for_trees()), ("m", HistGradientBoostingClassifier(max_iter=8, random_state=0))]
        ),
    ),
    "boosting of counts": (
        "regression",
        lambda: Pipeline(
            [
                ("f", for_trees()),
                ("m", HistGradientBoostingRegressor(loss="poisson", max_iter=9, random_state=0)),
            ]
        ),
    ),
    "forest": (
        "binary",
        lambda: Pipeline([("f", for_forest()), ("m", RandomForestClassifier(12, random_state=0))]),
    ),
    "forest of several classes": (
        "multiclass",
        lambda: Pipeline(
            [
                ("f", for_trees()),
                ("m", RandomForestClassifier(8, min_samples_leaf=30, random_state=0)),
            ]
        ),
    ),
    "forest of numbers": (
        "regression",
        lambda: Pipeline([("f", for_forest()), ("m", RandomForestRegressor(8, random_state=0))]),
    ),
    "tree": (
        "multiclass",
        lambda: Pipeline(
            [("f", for_forest()), ("m", DecisionTreeClassifier(max_leaf_nodes=9, random_state=0))]
        ),
    ),
    "logistic": (
        "binary",
        lambda: Pipeline([("f", for_linear()), ("m", LogisticRegression(max_iter=500))]),
    ),
    "logistic of several classes": (
        "multiclass",
        lambda: Pipeline([("f", for_linear()), ("m", LogisticRegression(max_iter=500))]),
    ),
    "linear": ("regression", lambda: Pipeline([("f", for_linear()), ("m", Ridge())])),
}


class Made:
    """A fitted model, its plan, and rows with the model's answers, the last ones hard."""

    def __init__(self, kind: str, build: Any, seed: int = 0) -> None:
        self.contract = contract_of(kind)
        table = rows_of(seed)
        rows, target = table[self.contract.features], target_of(table, kind)
        if kind == "regression" and "poisson" in str(build()):
            target = np.clip(target, 0, None)
        self.model = build()
        if kind == "binary":
            self.model = with_threshold(self.model, rows, target)
        else:
            self.model.fit(rows, target)
        self.plan = parse_plan(plan_text(compile_model(self.model, self.contract, "0" * 64)))
        known = plain_rows(rows, self.contract)
        hard = hard_rows(self.plan, self.contract, known)
        self.hard = len(hard["way"])
        self.rows = {name: known[name] + hard[name] for name in known}
        self.answers = model_answers(self.model, self.contract, self.rows)

    def proof(self, said: Any) -> Proof:
        return compared(self.answers, said, self.plan, self.hard)


@pytest.fixture(scope="module", params=MODELS)
def made(request: pytest.FixtureRequest) -> Made:
    return Made(*MODELS[request.param])


def test_a_plan_and_its_sql_answer_what_the_model_answers(made: Made) -> None:
    for said in (asked(made.plan, made.rows), asked_in_sqlite(made.plan, made.contract, made.rows)):
        proof = made.proof(said)
        assert proof.holds, proof
        assert proof.difference <= 1e-12
        assert (proof.rows, proof.hard) == (N, 2000)


def table_of(made: Made) -> pd.DataFrame:
    """The rows as a database has them; a number that is missing is NaN in pandas."""
    table = pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in made.rows.items()})
    for name in ("weight", "größe"):
        table[name] = table[name].astype(float)
    return table.assign(**{"k0": range(len(table)), 'a "quoted" key': 7})


def test_duckdb_answers_the_same(made: Made) -> None:
    import duckdb

    with duckdb.connect() as database:
        database.register("given", table_of(made))
        database.execute("CREATE TABLE parcels AS SELECT * FROM given")
        lines = database.execute(sql_of(made.plan, made.contract, "duckdb", "parcels")).fetchall()
    proof = made.proof(from_database([line[2:] for line in sorted(lines)], made.plan))
    assert proof.holds, proof


def test_postgres_answers_the_same(made: Made, postgres: Postgres) -> None:
    engine = postgres.engine()
    table = table_of(made)
    kinds = {"wet": sa.Boolean, "sealed": sa.Boolean, "select": sa.Integer}
    texts = dict.fromkeys(("way", "O'Brien"), sa.Text)
    numbers = dict.fromkeys(("weight", "größe"), sa.Double)
    dtype: Any = kinds | texts | numbers
    with engine.begin() as connection:
        table.to_sql("parcels", connection, index=False, if_exists="replace", dtype=dtype)
        # A database may hold NaN beside NULL: it is a missing number too.
        connection.exec_driver_sql(
            "UPDATE parcels SET weight = 'NaN' WHERE weight IS NULL AND k0 < 2000"
        )
        query = sql_of(made.plan, made.contract, "postgres", "parcels").replace("%", "%%")
        lines = [tuple(line) for line in connection.exec_driver_sql(query)]
    engine.dispose()
    proof = made.proof(from_database([line[2:] for line in sorted(lines)], made.plan))
    assert proof.holds, proof


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_query_names_key_answer_and_decision(dialect: Dialect) -> None:
    made = Made(*MODELS["tree"])
    end = sql_of(made.plan, made.contract, dialect, 'my "table"').rpartition("SELECT")[2]
    assert 'AS "k0"' in end
    assert 'AS "a ""quoted"" key"' in end
    assert 'AS "answer ""of"" it dented"' in end
    assert "AS recommends" in end


def test_trees_are_asked_at_once_or_walked_to_the_same_leaf() -> None:
    made = Made(*MODELS["boosting"])
    assert isinstance(made.plan.head, Trees)
    at_once, one_by_one = quick(made.plan.head, len(made.plan.columns)), walked(made.plan.head)
    assert at_once is not None
    asker = Asker(made.plan)
    for values in list(zip(*made.rows.values(), strict=True))[-500:]:
        columns = asker.columns(dict(zip(made.rows, values, strict=True)))
        assert at_once(columns) == one_by_one(columns)
    large = Made(*MODELS["boosting of large trees"]).plan
    assert isinstance(large.head, Trees)
    assert quick(large.head, len(large.columns)) is None


def test_single_precision_decides_as_the_model_does() -> None:
    """A forest rounds what it is given; its thresholds lie where that turns."""
    made = Made(*MODELS["forest of numbers"])
    assert isinstance(made.plan.head, Trees)
    tree = made.plan.head.trees[0]
    node = next(n for n, left in enumerate(tree.left) if left >= 0 and tree.column[n] == 4 + 1)
    limit = tree.threshold[node]
    request = {name: values[0] for name, values in made.rows.items()}
    beside = [limit, float(np.nextafter(limit, math.inf)), float(np.nextafter(limit, -math.inf))]
    rows = {name: [value] * 3 for name, value in request.items()} | {"größe": beside}
    model = model_answers(made.model, made.contract, rows)
    assert compared(model, asked(made.plan, rows), made.plan, 0).holds


@pytest.mark.parametrize("kind", ["threshold", "leaf", "lookup", "cut"])
def test_a_plan_that_says_something_else_is_found(kind: str) -> None:
    made = Made(*MODELS["boosting"])
    plan, head = made.plan, made.plan.head
    assert isinstance(head, Trees)
    tree = head.trees[0]
    if kind == "threshold":
        moved = tuple(float(np.nextafter(limit, -math.inf)) for limit in tree.threshold)
        trees = (replace(tree, threshold=moved), *head.trees[1:])
        wrong = replace(plan, head=replace(head, trees=trees))
    elif kind == "leaf":
        more = tuple((value[0] + 1e-6,) for value in tree.values)
        trees = (replace(tree, values=more), *head.trees[1:])
        wrong = replace(plan, head=replace(head, trees=trees))
    elif kind == "lookup":
        first = plan.columns[0]
        assert isinstance(first, Lookup)
        last = max(first.values.values())
        wrong = replace(plan, columns=(replace(first, missing=last), *plan.columns[1:]))
    else:
        wrong = replace(plan, threshold=0.31)
    assert not made.proof(asked(wrong, made.rows)).holds
    assert not made.proof(asked_in_sqlite(wrong, made.contract, made.rows)).holds


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: Pipeline([("f", for_trees()), ("m", ExtraTreesClassifier(3))]), "ExtraTrees"),
        (
            lambda: Pipeline([("f", for_forest()), ("m", GradientBoostingClassifier())]),
            "GradientBoostingClassifier",
        ),
        (
            lambda: Pipeline([("f", for_forest()), ("p", PolynomialFeatures()), ("m", Ridge())]),
            "PolynomialFeatures",
        ),
        (
            lambda: Pipeline(
                [
                    ("f", ColumnTransformer([("c", codes(), CATEGORIES)])),
                    ("m", HistGradientBoostingClassifier(categorical_features=[0], max_iter=5)),
                ]
            ),
            "native categories",
        ),
    ],
)
def test_what_is_not_known_is_refused_with_its_name(build: Any, why: str) -> None:
    table, contract = rows_of(), contract_of("binary")
    model = build().fit(table[contract.features], target_of(table, "binary"))
    with pytest.raises(NoPlan, match=why):
        compile_model(model, contract, "0" * 64)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"format": 2}', "null", '{"format":1,"head":{}}']
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse_plan(text)


def test_equal_models_are_equal_plans() -> None:
    texts: list[str] = []
    for _ in range(2):
        plan: Plan = Made(*MODELS["boosting of counts"]).plan
        texts.append(plan_text(plan))
    assert texts[0] == texts[1]


def _expected(tree: Any, known: set[int], columns: list[float], node: int = 0) -> float:
    """The mean of a tree where only some columns are known: by its definition."""
    left, right = tree.left[node], tree.right[node]
    if left < 0:
        return float(tree.values[node][0])
    column, cover = tree.column[node], tree.cover
    if column in known:
        value = columns[column]
        goes = tree.missing_left[node] if value != value else value <= tree.threshold[node]
        return _expected(tree, known, columns, left if goes else right)
    share = cover[left] / cover[node]
    below, beside = (_expected(tree, known, columns, child) for child in (left, right))
    return float(share * below + (1 - share) * beside)


def test_contributions_of_trees_are_shapley_values() -> None:
    """Against the definition: every order in which the columns may become known."""
    made = Made(*MODELS["boosting of several classes"])
    head = made.plan.head
    assert isinstance(head, Trees)
    few = replace(head, trees=head.trees[:6], outputs=head.outputs[:6])
    plan = replace(made.plan, head=few)
    explainer = Explainer(plan)
    for request in list(requests_of(made.rows))[-3:]:
        columns = explainer.asker.columns(request)
        for output in range(3):
            trees = [t for t, of in zip(few.trees, few.outputs, strict=True) if of == output]
            found = explainer.explain(request, output)
            size = len(columns)
            for player in range(size):
                others = [at for at in range(size) if at != player]
                value = 0.0
                for count in range(size):
                    weight = math.factorial(count) * math.factorial(size - 1 - count)
                    for known in combinations(others, count):
                        value += weight * sum(
                            _expected(tree, {*known, player}, columns)
                            - _expected(tree, set(known), columns)
                            for tree in trees
                        )
                name = plan.columns[player].input
                wanted = value / math.factorial(size)
                assert found.contributions[name] == pytest.approx(wanted, abs=1e-12)


def test_contributions_add_up_to_the_answer(made: Made) -> None:
    explainer = Explainer(made.plan)
    for request in list(requests_of(made.rows))[-20:]:
        found = explainer.explain(request)
        assert found.start + sum(found.contributions.values()) == pytest.approx(found.total)
        assert set(found.contributions) == set(made.contract.features)
        raw = [explainer.explain(request, at).total for at in range(len(made.plan.head.start))]
        assert linked(raw, made.plan.link) == pytest.approx(explainer.asker.scores(request))


def test_a_sum_is_explained_against_what_is_usual() -> None:
    made = Made(*MODELS["linear"])
    asker = Asker(made.plan)
    columns = [asker.columns(request) for request in requests_of(made.rows)]
    assert isinstance(made.plan.head, Linear)
    usual = tuple(np.mean(columns, axis=0).tolist())
    plan = replace(made.plan, head=replace(made.plan.head, means=usual))
    found = [Explainer(plan).explain(request) for request in requests_of(made.rows)]
    for name in made.contract.features:
        assert np.mean([each.contributions[name] for each in found]) == pytest.approx(0, abs=1e-9)


def test_a_missing_text_or_truth_value_is_missing() -> None:
    """And not False, or the text "nan"."""
    contract = contract_of("binary")
    rows = request_rows([dict.fromkeys(contract.features)], contract, ["way", "sealed", "weight"])
    assert rows.isna().all(axis=None)
