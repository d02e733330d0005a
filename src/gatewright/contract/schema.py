"""The contract: what goes into the model and what comes out, and reading it from YAML."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema

from gatewright.adapters.files import read_text
from gatewright.adapters.strict_yaml import line_of, parse_yaml
from gatewright.errors import Refused

M = TypeVar("M", bound=BaseModel)
Task = Literal["binary", "multiclass", "regression"]
Form = Literal["api", "sql"]
PERIODS = {"day": "D", "week": "W", "month": "M"}  # of the time column, as pandas names them


def _exact(schema: Any) -> None:
    """Let each number and truth value in a schema of pydantic-core be taken for itself alone."""
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema["strict"] = True
        for part in schema.values():
            _exact(part)
    elif isinstance(schema, (list, tuple)):
        for part in schema:
            _exact(part)


class Strict(BaseModel):
    """A frozen record that refuses unknown keys.

    A number is a number, and true is true: none is made from text, nor one from the other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _exact(schema)
        return schema


class Wrong(ValueError):
    """What a validator refuses, and the keys, below those that it validates, where it stands."""

    def __init__(self, words: str, *keys: str | int) -> None:
        super().__init__(words)
        self.keys = keys


class Column(Strict):
    """One column. `values` closes the set; `feature: false` keeps it away from the model.

    `afterwards` says that its value is only known once the answer is: no model may use it.
    `known: before` says that its value is known before the prediction is made: whoever owns the
    contract vouches for that. `on_arrival: drop` says that `mlops ingest` leaves a personal column
    out of data/raw, where the stage `check` does not want it then.
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
    known: Literal["before"] | None = None
    on_arrival: Literal["keep", "drop"] = "keep"

    @model_validator(mode="after")
    def _fits(self) -> Column:
        if self.afterwards and self.feature:
            raise ValueError("is only known afterwards, so it needs `feature: false`")
        if self.afterwards and self.known:
            raise ValueError("is only known afterwards, so it is not `known: before`")
        if self.on_arrival == "drop" and not self.personal:
            raise ValueError("only a personal column is dropped on arrival: `personal: true`")
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

    `group` names a column whose rows belong together (one customer, one machine), or the day, week
    or month of the time column, so that intervals resample groups and not rows. `serve` names the
    forms in which a version can be asked, beside scikit-learn's.
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
    serve: tuple[Form, ...] = ()
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _names_exist(self) -> Contract:
        named = {"key": self.key, "slices": self.slices}
        named |= {"time": (self.time,) if self.time else ()}
        named |= {"group": (self.group,) if self.group and not self.period else ()}
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
    def period(self) -> str | None:
        """The period of the time column by which rows are grouped, as pandas names it."""
        is_column = self.group in self.columns or self.time is None
        return None if is_column or self.group is None else PERIODS.get(self.group)

    @property
    def dropped(self) -> list[str]:
        """The columns that arrive and are not kept."""
        return [name for name, column in self.columns.items() if column.on_arrival == "drop"]

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
