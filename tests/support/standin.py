"""The small GitHub, held against what GitHub publishes of itself."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hub import BOT, Hub
from published import Description, Schema, Schemas

__all__ = ["BOT", "StandIn", "event", "filled", "smallest"]


class StandIn(Hub):
    """Checks each request, completes each answer as published, and checks it too.

    A test ends with `assert hub.errors == []`.
    """

    def __init__(self, published: Description, **settings: Any) -> None:
        super().__init__(**settings)
        self.published = published

    def asked(
        self, method: str, path: str, query: dict[str, str], body: Any, headers: dict[str, str]
    ) -> None:
        operation = self.published.operation(method, path)
        if operation is None:
            self._complain(method, path, ["GitHub describes no such operation"])
        else:
            self._complain(method, path, operation.check_request(query, body))

    def answer(self, method: str, path: str, query: dict[str, str], status: int, body: Any) -> Any:
        operation = self.published.operation(method, path)
        if operation is None:
            return body
        told = operation.unknown(status, body)
        schema = operation.schema(status)
        if schema and status < 300:
            example = operation.example(status)
            body = filled(operation.schemas, schema, deepcopy(body), example)
        self._complain(method, f"{path} -> {status}", told + operation.check_answer(status, body))
        return body

    def _complain(self, method: str, path: str, told: list[str]) -> None:
        self.errors += [f"{method} {path}: {words}" for words in told]


def event(published: Description, name: str, payload: Any) -> Any:
    """The payload of an event, completed to what GitHub publishes of it."""
    if (kind := published.event(name, payload)) is None:
        return payload
    whole = filled(published.event_schemas, {"$ref": kind}, payload, None)
    assert published.check_event(name, whole) == []
    return whole


def filled(schemas: Schemas, schema: Schema, value: Any, example: Any) -> Any:
    """The value, completed from the example; what is required beyond that is made up."""
    flat = schemas.flat(schema, value)
    if isinstance(value, list):
        items: Schema = next((one["items"] for one in flat if "items" in one), {})
        return [filled(schemas, items, item, _like(item, example)) for item in value]
    if not isinstance(value, dict):
        return value
    shown = example if isinstance(example, dict) else {}
    listed = schemas.properties(flat)
    required = [name for one in flat for name in one.get("required", ())]
    made = {
        name: filled(schemas, listed.get(name, {}), item, shown.get(name))
        for name, item in value.items()
    }
    for name, item in shown.items():
        if name in listed and not schemas.check(listed[name], item):
            made.setdefault(name, item)
    for name in required:
        if name not in made:
            made[name] = smallest(schemas, listed.get(name, {}))
    return made


def _like(item: Any, examples: Any) -> Any:
    """An example of the same type, if the item tells its type."""
    if not isinstance(examples, list):
        return None
    kind = item.get("type") if isinstance(item, dict) else None
    same = [e for e in examples if isinstance(e, dict) and kind in (None, e.get("type"))]
    return same[0] if same else None


def smallest(schemas: Schemas, schema: Schema) -> Any:
    """The least that keeps to a schema."""
    flat = schemas.flat(schema, None)
    for one in flat:
        for value in (one.get("example"), one.get("default"), None):
            if (value is not None or "null" in one.get("type", ())) and not schemas.check(
                schema, value
            ):
                return value
        if "enum" in one:
            return one["enum"][0]
    kinds = [one["type"] for one in flat if "type" in one] or ["object"]
    kind = kinds[0] if isinstance(kinds[0], str) else kinds[0][0]
    if kind != "object":
        return {"array": [], "string": "", "integer": 0, "number": 0, "boolean": False}[kind]
    return filled(schemas, schema, {}, None)
