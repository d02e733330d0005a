"""The contract: what goes into the model and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gatewright.adapters.files import line_of, parse_yaml, read_text
from gatewright.errors import Refused

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

M = TypeVar("M", bound=BaseModel)
Change = Literal["none", "compatible", "breaking"]
Task = Literal["binary", "multiclass", "regression"]


class Strict(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Wrong(ValueError):
    """What a validator refuses, and the keys, below those that it validates, where it stands."""

    def __init__(self, words: str, *keys: str | int) -> None:
        super().__init__(words)
        self.keys = keys


class Column(Strict):
    """One column. `values` closes the set; `feature: false` keeps it away from the model.

    `afterwards` says that its value is only known once the answer is: no model may use it.
    """

    type: Literal["integer", "number", "string", "boolean", "datetime"]
    description: str
    unit: str | None = None
    nullable: bool = False
    min: float = -inf
    max: float = inf
    values: tuple[str, ...] | None = None
    max_missing: float = Field(default=1.0, ge=0, le=1)
    feature: bool = True
    personal: bool = False
    afterwards: bool = False

    @model_validator(mode="after")
    def _known_before(self) -> Column:
        if self.afterwards and self.feature:
            raise ValueError("is only known afterwards, so it needs `feature: false`")
        return self


class Target(Strict):
    """What is predicted: true or false, one of `classes` (text), or a number."""

    name: str
    description: str
    type: Task = "binary"
    classes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _classes_fit(self) -> Target:
        if (self.type == "multiclass") != bool(self.classes):
            raise ValueError("`classes` belong to a multiclass target, and it needs them")
        if self.classes and (len(self.classes) < 3 or len(set(self.classes)) < len(self.classes)):
            raise ValueError("a multiclass target needs three or more classes, each once")
        return self


class Prediction(Strict):
    """The answer: a probability (of the event, or of each class), or a number in a range."""

    name: str
    description: str
    min: float = 0.0
    max: float = 1.0


class Decision(Strict):
    """What is done for each class that the model recommends, and what that costs.

    `actions`: by recommended class. `costs`: by what came true, then by what was recommended.
    """

    description: str
    unit: str
    actions: dict[bool | str, str]
    costs: dict[bool | str, dict[bool | str, float]]


class Contract(Strict):
    """The schema of a request and of an answer, for one target.

    `group` names a column whose rows belong together (one customer, one machine), so that
    intervals resample groups and not rows.
    """

    name: str
    description: str
    key: tuple[str, ...] = Field(min_length=1)
    time: str | None = None
    group: str | None = None
    target: Target
    prediction: Prediction
    decision: Decision | None = None
    slices: tuple[str, ...] = ()
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _names_exist(self) -> Contract:
        named = {"key": self.key, "slices": self.slices}
        named |= {"time": (self.time,) if self.time else ()}
        named |= {"group": (self.group,) if self.group else ()}
        for place, names in named.items():
            if unknown := sorted(set(names) - set(self.columns)):
                words = f"names columns that it does not describe: {', '.join(unknown)}"
                raise Wrong(words, place)
            if private := sorted(name for name in names if self.columns[name].personal):
                raise Wrong(f"uses personal columns as {place}: {', '.join(private)}", place)
        if self.target.name in self.columns:
            words = f"lists the target '{self.target.name}' among the input columns"
            raise Wrong(words, "columns", self.target.name)
        if self.target.type == "regression" and {"min", "max"} - self.prediction.model_fields_set:
            raise Wrong("the prediction of a number needs its min and max", "prediction")
        if self.decision:
            self._decision_fits(self.decision)
        return self

    def _decision_fits(self, decision: Decision) -> None:
        if self.target.type == "regression":
            words = "a decision by costs needs classes, and the target is a number"
            raise Wrong(words, "decision")
        named: dict[str, Collection[bool | str]] = {
            "actions": decision.actions,
            "costs": decision.costs,
        }
        named |= {f"costs.{truth}": by for truth, by in decision.costs.items()}
        for name, keys in named.items():
            if set(keys) != set(self.classes):
                words = f"decision.{name} must name each class once: {self.classes}"
                raise Wrong(words, "decision", *name.split("."))

    @property
    def classes(self) -> tuple[bool | str, ...]:
        """What the target can be, in the order of its codes; nothing for a number."""
        return (False, True) if self.target.type == "binary" else self.target.classes

    @property
    def costs(self) -> tuple[tuple[float, ...], ...]:
        """By the code of what came true, then of what was recommended."""
        by = self.decision.costs if self.decision else {}
        return tuple(tuple(by[true][said] for said in self.classes) for true in self.classes if by)

    @property
    def features(self) -> list[str]:
        """The columns that the model may see, in the order of the contract."""
        return [n for n, c in self.columns.items() if c.feature and not c.personal]


def parse_contract(text: str, name: str = "contract.yaml") -> Contract:
    return validated(Contract, parse_yaml(text, name), name, partial(line_of, text))


def read_contract(root: Path) -> Contract:
    return parse_contract(read_text(root / "contract.yaml"))


def validated(
    model: type[M],
    value: Any,
    name: str,
    line: Callable[[tuple[str | int, ...]], int | None] = lambda _: None,
    context: dict[str, Any] | None = None,
) -> M:
    """Build `model` from plain data; a refusal names every key that is wrong.

    `line` finds the line of a key in the file; `context` is what validators may look at.
    """
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        wrong = []
        for item in error.errors():
            cause = item.get("ctx", {}).get("error")
            keys = (*item["loc"], *getattr(cause, "keys", ()))
            at = line(keys)
            where = ".".join(map(str, keys)) or "(top)"
            wrong.append(f"  {f'line {at}: ' if at else ''}{where}: {item['msg']}")
        raise Refused(
            f"{name} does not hold what it must, so nothing is decided by it:\n"
            + "\n".join(wrong)
            + f"\nCorrect {name} and run again."
        ) from None


def schema(contract: Contract) -> pa.DataFrameSchema:
    """The pandera schema of a table of labelled rows."""
    import pandera.pandas as pa

    kinds = {"string": "str", "boolean": "bool", "number": float, "integer": int}
    columns = {}
    for name, column in contract.columns.items():
        checks = []
        if column.min > -inf:
            checks.append(pa.Check.ge(column.min, error=f"below {column.min:g}"))
        if column.max < inf:
            checks.append(pa.Check.le(column.max, error=f"above {column.max:g}"))
        if column.values is not None:
            checks.append(pa.Check.isin(column.values, error="not among the contract's values"))
        if column.max_missing < 1:
            checks.append(
                pa.Check(
                    lambda values, most=column.max_missing: bool(values.isna().mean() <= most),
                    ignore_na=False,
                    error=f"more than {column.max_missing:.0%} missing",
                )
            )
        kind = "datetime64[ms]" if column.type == "datetime" else kinds[column.type]
        if column.type == "integer" and column.nullable:
            kind = "Int64"
        columns[name] = pa.Column(kind, checks, nullable=column.nullable, coerce=True)
    columns[contract.target.name] = {
        "binary": pa.Column("bool", coerce=False),
        "multiclass": pa.Column("str", pa.Check.isin(contract.target.classes), coerce=True),
        "regression": pa.Column(float, coerce=True),
    }[contract.target.type]
    return pa.DataFrameSchema(columns, strict=True, unique=list(contract.key))


def violations(contract: Contract, rows: pd.DataFrame) -> pd.DataFrame:
    """What is wrong with labelled rows.

    Returns a table with a line a fault: column, fault, rows (how many), first_row (position
    from 0), example. It is empty for good data.
    """
    import pandas as pd
    import pandera.pandas as pa

    shape = ["column", "fault", "rows", "first_row", "example"]
    try:
        schema(contract).validate(rows.reset_index(drop=True), lazy=True)
        return pd.DataFrame(columns=shape)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    # A check of a range stumbles over text; that the text is there is a fault of its own.
    cases = cases[~cases["failure_case"].astype(str).str.startswith("TypeError(")]
    cases["fault"] = [_fault(str(check)) for check in cases["check"]]
    cases["column"] = cases["column"].where(
        cases["schema_context"] == "Column", cases["failure_case"].astype(str)
    )
    cases.loc[cases["fault"] == _TWICE, "column"] = ", ".join(contract.key)
    personal = {name for name, about in contract.columns.items() if about.personal}
    found = [
        (
            column,
            fault,
            max(part["index"].nunique(), 1),
            part["index"].min(),
            "(personal)" if column in personal else str(part["failure_case"].iloc[0]),
        )
        for (column, fault), part in cases.groupby(["column", "fault"], sort=False)
    ]
    return pd.DataFrame(found, columns=shape)


_TWICE = "the key stands more than once"
_FAULTS = {
    "not_nullable": "missing where a value is needed",
    "column_in_schema": "not in the contract",
    "column_in_dataframe": "column is absent",
    "multiple_fields_uniqueness": _TWICE,
    "coerce_dtype": "not of the contract's type",
    "dtype": "not of the contract's type",
}


def _fault(check: str) -> str:
    return _FAULTS.get(check.partition("(")[0], check)


def compare(old: Contract, new: Contract) -> tuple[Change, list[str]]:
    """What a consumer of `old` meets under `new`, and why.

    Breaking: a request that was good is refused, or an answer means something else. The rules
    are those of semantic versioning 2.0.0 for a public interface.
    """
    if old == new:
        return "none", []
    why = []
    if (old.target.name, old.prediction.name) != (new.target.name, new.prediction.name):
        why.append("the target or the prediction has another name")
    if (old.target.type, old.classes) != (new.target.type, new.classes):
        why.append("the target is of another type, or has other classes")
    if old.decision and old.decision.actions != (new.decision and new.decision.actions):
        why.append("the recommended actions are others")
    if new.prediction.min < old.prediction.min or new.prediction.max > old.prediction.max:
        why.append("the prediction's range is wider")
    for name, before in old.columns.items():
        after = new.columns.get(name)
        if after is None:
            why.append(f"column {name} is gone")
        elif after.type != before.type or after.unit != before.unit:
            why.append(f"column {name} has another type or unit")
        elif _narrower(before, after):
            why.append(f"column {name} accepts less")
    why += [
        f"column {name} is new and needed"
        for name, column in new.columns.items()
        if name not in old.columns and not column.nullable
    ]
    return ("breaking", why) if why else ("compatible", ["the contract accepts more"])


def _narrower(before: Column, after: Column) -> bool:
    return (
        (before.nullable and not after.nullable)
        or after.min > before.min
        or after.max < before.max
        or (
            after.values is not None
            and (before.values is None or not set(before.values) <= set(after.values))
        )
    )
