"""A number that is none, or true where a number is meant, is refused in every file of the team."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import ValidationError

import gatewright
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.contract.schema import Strict

for module in pkgutil.walk_packages(gatewright.__path__, "gatewright."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

# As somebody writes them into YAML.
NO_NUMBERS = ("true", "yes", "'1'", "1:30", ".inf", "-.inf", ".nan", "1e999", "[1]", "2026-01-01")


def models(of: type[Strict] = Strict) -> Iterator[type[Strict]]:
    for model in of.__subclasses__():
        yield model
        yield from models(model)


def kinds(hint: Any) -> set[Any]:
    """The plain types that a field may hold, or that the values of its mapping may."""
    if get_origin(hint) is dict:
        return kinds(get_args(hint)[1])
    parts = [part for part in get_args(hint) if isinstance(part, type) or get_args(part)]
    if get_origin(hint) is Literal or not parts or get_origin(hint) in (tuple, list):
        return {hint}
    return set().union(*(kinds(part) for part in parts))


def fields(wanted: set[type]) -> list[Any]:
    return [
        pytest.param(model, name, id=f"{model.__qualname__}.{name}")
        for model in sorted(set(models()), key=lambda model: model.__qualname__)
        for name, field in model.model_fields.items()
        if (kinds(field.annotation) & wanted and str not in kinds(field.annotation) - wanted)
        or (float in wanted and "AllowInfNan" in str(field.annotation))
    ]


def placed(hint: Any, value: Any) -> Any:
    """The value, as that of a key where the field is a mapping."""
    if get_origin(hint) is dict:
        key, inner = get_args(hint)
        name = get_args(key)[0] if get_origin(key) is Literal else "roc_auc"
        return {name: placed(inner, value)}
    mappings = [part for part in get_args(hint) if get_origin(part) is dict]
    return placed(mappings[0], value) if mappings else value


def taken(model: type[Strict], name: str, value: Any) -> bool:
    """Whether the field itself finds nothing wrong with it."""
    field = model.model_fields[name]
    try:
        model.model_validate({field.alias or name: placed(field.annotation, value)})
    except ValidationError as error:
        return all(item["loc"][:1] != (field.alias or name,) for item in error.errors())
    return True


@pytest.mark.parametrize(("model", "name"), fields({int, float}))
def test_what_is_no_number_is_none(model: type[Strict], name: str) -> None:
    assert any(taken(model, name, value) for value in (1, 2, 0.5, 200)), "else this tells nothing"
    for text in NO_NUMBERS:
        value = parse_yaml(f"x: {text}", "x")["x"]
        assert not taken(model, name, value), text


@pytest.mark.parametrize(("model", "name"), fields({bool}))
def test_only_true_and_false_are_that(model: type[Strict], name: str) -> None:
    assert taken(model, name, True)
    for value in (1, 0, 1.0, "true", "yes", "on", None):
        assert not taken(model, name, value), value


def test_all_of_them_were_asked() -> None:
    """The fields of the contract and of the policy are among them."""
    asked = {param.id for param in fields({int, float})}
    for known in ("Column.max_missing", "Bound.min", "Margins.metrics", "Sampling.seed"):
        assert known in asked
    assert len(asked) > 45
