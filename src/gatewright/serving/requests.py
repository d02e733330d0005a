"""Requests and answers as the contract has them: types that msgspec checks, and their schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gatewright.serving.bundle import About, Input

MOST_TEXT = 1_000  # characters of one value
DIGITS = 4  # of a probability that is told: what a decision needs, and no more
SIGNIFICANT = 6  # digits of a number that is told


class Wrong(Exception):
    """A request that the contract does not let in, in words for who sent it."""


@dataclass(frozen=True)
class Door:
    """Reads requests for one version. `names` are the inputs by the field that holds them."""

    row: type[msgspec.Struct]
    names: Mapping[str, str]
    decoder: msgspec.json.Decoder[Any]
    personal: frozenset[str]
    whole: tuple[str, ...]

    def read(self, body: bytes) -> list[dict[str, Any]]:
        """The rows of a request, by input's name; None where a value is missing.

        Raises Wrong with the place and the reason.
        """
        try:
            found = self.decoder.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Wrong(self._words(str(error))) from None
        rows = found if isinstance(found, list) else [found]
        fields = self.names.items()
        requests = [{name: getattr(row, field) for field, name in fields} for row in rows]
        for name in self.whole:
            for request in requests:
                if type(request[name]) is float:  # 5.0 is a whole number in JSON
                    request[name] = int(request[name])
        return requests

    def _words(self, words: str) -> str:
        for name in self.personal:
            if f"unknown field `{name}`" in words:
                return f"`{name}` is personal: this service does not want it. Leave it out."
        return f"The request is not what the contract lets in: {words}."


def door_of(about: About, most_rows: int) -> Door:
    """The type of a row: inputs that the model needs first, then the ones that only name a row."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    names: dict[str, str] = {}
    ordered = sorted(about.inputs, key=lambda i: i.nullable or not i.feature)
    for number, column in enumerate(ordered):
        field = f"f{number}"
        names[field] = column.name
        kind = _kind(column)
        if column.nullable or not column.feature:
            fields.append((field, kind | None, None))
        else:
            fields.append((field, kind))
    row = msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, kw_only=True)
    many = Annotated[list[row], Meta(min_length=1, max_length=most_rows)]  # type: ignore[valid-type]
    decoder: Any = msgspec.json.Decoder(row | many)
    whole = tuple(column.name for column in ordered if column.type == "integer")
    return Door(row, names, decoder, frozenset(about.personal), whole)


def _kind(column: Input) -> Any:
    words = column.description + (f" ({column.unit})" if column.unit else "")
    if column.type == "boolean":
        return Annotated[bool, Meta(description=words)]
    if column.type == "string" and column.values:
        return Annotated[Literal[column.values], Meta(description=words)]
    if column.type in ("string", "datetime"):
        return Annotated[str, Meta(description=words, max_length=MOST_TEXT)]
    ends = {"ge": column.min, "le": column.max}
    limits: dict[str, Any] = {name: end for name, end in ends.items() if end is not None}
    if column.type == "number":
        return Annotated[float, Meta(description=words, **limits)]
    exact: dict[str, Any] = {"ge": -(2**63), "le": 2**63 - 1}
    exact |= {name: int(value) for name, value in limits.items()}
    limits = {"ge": -(2.0**53), "le": 2.0**53} | limits
    whole = Annotated[int, Meta(**exact)] | Annotated[float, Meta(multiple_of=1, **limits)]
    return Annotated[whole, Meta(description=words)]


def told(scores: Sequence[float], code: int | None, about: About) -> dict[str, Any]:
    """An answer as consumers get it: rounded, with what is recommended and done."""
    if code is None:
        return {about.answer: float(f"{scores[0]:.{SIGNIFICANT}g}")}
    found: dict[str, Any] = {}
    if len(about.classes) == 2:
        found[about.answer] = round(scores[0], DIGITS)
    else:
        pairs = zip(about.classes, scores, strict=True)
        found[about.answer] = {str(value): round(score, DIGITS) for value, score in pairs}
    found["recommends"] = about.classes[code]
    if about.actions:
        found["decision"] = about.actions[code]
    return found


def openapi(door: Door, about: About, most_rows: int) -> dict[str, Any]:
    """The service in OpenAPI 3.1. https://spec.openapis.org/oas/v3.1.0"""
    (_, schemas) = msgspec.json.schema_components(
        [door.row], ref_template="#/components/schemas/{name}"
    )
    row = {"$ref": "#/components/schemas/Row"}
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": most_rows}
    score: dict[str, Any] = {"type": "number", "description": about.answer_words}
    if len(about.classes) > 2:
        names = {str(value): {"type": "number"} for value in about.classes}
        score = {"type": "object", "properties": names, "description": about.answer_words}
    answer: dict[str, Any] = {about.answer: score}
    if about.classes:
        answer["recommends"] = {"enum": list(about.classes)}
    if about.actions:
        answer["decision"] = {"enum": list(dict.fromkeys(about.actions))}
    explanation = {
        "type": "object",
        "properties": {
            "scale": {"type": "string"},
            "start": {"type": "number"},
            "contributions": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    }
    told = {
        "type": "object",
        "required": ["version", "model", "request_id", "answers"],
        "properties": {
            "version": {"type": "string"},
            "model": {"type": "string", "description": "sha256 of the model file"},
            "request_id": {"type": "string"},
            "answers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": list(answer),
                    "properties": answer | {"explanation": explanation},
                },
            },
        },
    }
    problem = {"type": "object", "properties": {"error": {"type": "string"}}}
    components = {
        "schemas": {**schemas, "Answers": told, "Problem": problem},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    statuses = {
        "200": _response("the answers", "Answers"),
        **{code: _response(words, "Problem") for code, words in PROBLEMS.items()},
    }
    asking = {
        "operationId": "answer",
        "summary": about.description,
        "security": [{"key": []}, {}],
        "parameters": [
            {
                "name": "explain",
                "in": "query",
                "description": "tell what each input adds",
                "schema": {"type": "string", "enum": ["true", "false"]},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": [row, rows]}}},
        },
        "responses": statuses,
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": about.project, "version": about.version, "description": about.target},
        "paths": {"/answers": {"post": asking}},
        "components": components,
    }


PROBLEMS = {
    "401": "no key, or none that is known",
    "413": "the request is too large",
    "422": "the request is not what the contract lets in",
    "429": "asked too much",
    "503": "the server is too busy, or has no version that answers",
}


def _response(words: str, schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": words, "content": content}
