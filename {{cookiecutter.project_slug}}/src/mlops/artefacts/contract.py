"""The contract: what goes into the model and what comes out."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mlops.artefacts.files import parse_yaml, read_text
from mlops.errors import Refused

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

M = TypeVar("M", bound=BaseModel)
Change = Literal["none", "compatible", "breaking"]


class Strict(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Strict):
    """One column. `values` closes the set; `feature: false` keeps it away from the model."""

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


class Target(Strict):
    name: str
    description: str


class Prediction(Strict):
    name: str
    description: str
    min: float = 0.0
    max: float = 1.0


class Contract(Strict):
    """The schema of a request and of an answer, for one binary target."""

    name: str
    description: str
    key: tuple[str, ...] = Field(min_length=1)
    time: str | None = None
    target: Target
    prediction: Prediction
    slices: tuple[str, ...] = ()
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _names_exist(self) -> Contract:
        named = {*self.key, *self.slices} | ({self.time} if self.time else set())
        if unknown := sorted(named - set(self.columns)):
            raise ValueError(f"names columns that it does not describe: {', '.join(unknown)}")
        if private := sorted(name for name in named if self.columns[name].personal):
            raise ValueError(f"uses personal columns as key, time or slice: {', '.join(private)}")
        if self.target.name in self.columns:
            raise ValueError(f"lists the target '{self.target.name}' among the input columns")
        return self

    @property
    def features(self) -> list[str]:
        """The columns that the model may see, in the order of the contract."""
        return [n for n, c in self.columns.items() if c.feature and not c.personal]


def parse_contract(text: str, name: str = "contract.yaml") -> Contract:
    return validated(Contract, parse_yaml(text, name), name)


def read_contract(root: Path) -> Contract:
    return parse_contract(read_text(root / "contract.yaml"))


def validated(model: type[M], value: Any, name: str) -> M:
    """Build `model` from plain data; a refusal names every key that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        wrong = [
            f"  {'.'.join(map(str, item['loc'])) or '(top)'}: {item['msg']}"
            for item in error.errors()
        ]
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
    columns[contract.target.name] = pa.Column("bool", coerce=False)
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
