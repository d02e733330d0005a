"""What `search` of params.yaml declares: which parameters may be tried, and where they lie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from gatewright.adapters.strict_yaml import line_of, parse_yaml
from gatewright.contract.schema import Strict, validated
from gatewright.errors import Refused

if TYPE_CHECKING:
    import optuna

PARAMS = "params.yaml"


class Span(Strict):
    """Numbers from low to high, both in it; or one of some values. log: by orders of magnitude."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    values: tuple[bool | int | float | str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Span:
        if bool(self.values) == (self.low is not None or self.high is not None):
            raise ValueError("give either low and high, or values")
        if not self.values and (self.low is None or self.high is None or self.low >= self.high):
            raise ValueError("low must be below high")
        if self.log and not (self.low or 0) > 0:
            raise ValueError("orders of magnitude need a low above 0")
        return self

    def draw(self, trial: optuna.Trial, name: str) -> Any:
        """A value of it, chosen by the trial."""
        if self.values:
            return trial.suggest_categorical(name, list(self.values))
        low, high = float(self.low or 0), float(self.high or 0)
        if self.whole:
            return trial.suggest_int(name, int(low), int(high), log=self.log)
        return float(f"{trial.suggest_float(name, low, high, log=self.log):.4g}")


class Search(Strict):
    """The section `search`. space: by path within `train`, like gradient_boosting.max_iter."""

    trials: int = Field(default=30, ge=1, le=10_000)
    folds: int = Field(default=3, ge=2, le=10)
    metric: str | None = None
    space: dict[str, Span] = Field(min_length=1)


def parse_search(text: str) -> tuple[Search, dict[str, Any]]:
    """The section `search` and the section `train` of params.yaml.

    Raises Refused where there is none, or where it tries what `train` does not have.
    """
    content = parse_yaml(text, PARAMS)
    train = content.get("train")
    if not isinstance(content.get("search"), dict) or not isinstance(train, dict):
        raise Refused(
            f"{PARAMS} has no section `search`, so it is not known what may be tried. Write, for "
            "example:\n"
            "search:\n"
            "  space:\n"
            "    gradient_boosting.learning_rate: {low: 0.01, high: 0.3, log: true}\n"
            "    gradient_boosting.max_leaf_nodes: {low: 4, high: 128, log: true, whole: true}"
        )
    search = validated(
        Search, content["search"], PARAMS, lambda keys: line_of(text, ("search", *keys))
    )
    for path in search.space:
        get(train, path)
    return search, train


def get(train: dict[str, Any], path: str) -> Any:
    value: Any = train
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            raise Refused(f"{PARAMS}: `search.space` tries {path}, which `train` does not have.")
        value = value[key]
    return value


def with_values(train: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A copy of `train` in which some values are others."""
    copy = {key: dict(v) if isinstance(v, dict) else v for key, v in train.items()}
    for path, value in values.items():
        *above, last = path.split(".")
        place: Any = copy
        for key in above:
            place = place[key]
        place[last] = value
    return copy


def rewritten(text: str, values: dict[str, Any]) -> str:
    """params.yaml with some values of `train` replaced, and nothing else changed.

    Raises Refused for a value that does not stand on a line of its own.
    """
    lines = text.splitlines(keepends=True)
    for path, value in values.items():
        at = line_of(text, ("train", *path.split(".")))
        key = path.split(".")[-1]
        written = str(value).lower() if isinstance(value, bool) else str(value)
        pattern = rf"^(\s*{re.escape(key)}:\s*)([^\s#,{{}}]+)(\s*(?:#.*)?)$"
        line = lines[at - 1].rstrip("\n") if at else ""
        if not re.match(pattern, line):
            raise Refused(
                f"{PARAMS}: the value of train.{path} does not stand on a line of its own, so it "
                f"was not written. Write {key}: {written} there."
            )
        lines[(at or 1) - 1] = re.sub(pattern, rf"\g<1>{written}\g<3>", line) + "\n"
    return "".join(lines)
