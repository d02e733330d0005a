"""GitHub's own published descriptions: its REST API and the events that start workflows.

They come as two npm packages. What we use of them is kept in one small file, because the whole is
large; OpenAPI's `nullable` becomes a null type there, so that plain JSON Schema reads it.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

REST = "@octokit/openapi@23.0.2", "package/generated/api.github.com.json"
EVENTS = "@octokit/webhooks-schemas@7.6.1", "package/schema.json"
REPO = "/repos/{owner}/{repo}"
ENVIRONMENT = "/environments/{environment_name}"
PATHS = {
    *("/meta", "/user", "/users/{username}", "/orgs/{org}/teams/{team_slug}", REPO),
    "/app/installations/{installation_id}/access_tokens",
    *("/apps/{app_slug}", "/orgs/{org}/rulesets", "/orgs/{org}/rulesets/{ruleset_id}"),
    *(
        REPO + path
        for path in (
            "/rulesets",
            "/rulesets/{ruleset_id}",
            "/rules/branches/{branch}",
            "/codeowners/errors",
            "/environments",
            ENVIRONMENT,
            f"{ENVIRONMENT}/deployment-branch-policies",
            f"{ENVIRONMENT}/deployment-branch-policies/{{branch_policy_id}}",
            f"{ENVIRONMENT}/secrets",
            f"{ENVIRONMENT}/secrets/public-key",
            f"{ENVIRONMENT}/secrets/{{secret_name}}",
            "/actions/secrets",
            "/actions/secrets/public-key",
            "/actions/secrets/{secret_name}",
            "/actions/runs",
            "/actions/runs/{run_id}",
            "/actions/runs/{run_id}/cancel",
            "/actions/runs/{run_id}/pending_deployments",
            "/actions/runs/{run_id}/approvals",
            "/actions/variables",
            "/actions/variables/{name}",
            "/actions/workflows",
            "/actions/workflows/{workflow_id}/dispatches",
            "/actions/permissions/workflow",
            "/keys",
            "/keys/{key_id}",
            "/pulls",
            "/pulls/{pull_number}",
            "/pulls/{pull_number}/reviews",
            "/commits/{ref}",
            "/commits/{commit_sha}/pulls",
            "/installation",
            "/issues",
            "/issues/{issue_number}",
            "/issues/{issue_number}/comments",
            "/issues/comments/{comment_id}",
            "/releases",
            "/releases/latest",
            "/releases/tags/{tag}",
            "/releases/{release_id}",
            "/deployments",
            "/deployments/{deployment_id}/statuses",
        )
    ),
}
PREFIXES = re.compile(r"#/(components/schemas|definitions)/")
ERRORS = ("basic-error", "validation-error")
UNLISTED = (301, 302, 307, 308, 401, 403, 404, 422, 429)  # any operation may answer these
Schema = dict[str, Any]
JSON = "application/json"


def fetch(folder: Path) -> None:
    """Put what we use of GitHub's descriptions into the folder."""
    (folder / "rest.json").write_text(json.dumps(_extract(_packed(folder, *REST))))
    (folder / "events.json").write_text(json.dumps(_packed(folder, *EVENTS)))


def _packed(folder: Path, package: str, member: str) -> Any:
    quiet = ("--silent", "--ignore-scripts", "--no-update-notifier")
    done = subprocess.run(
        ["npm", "pack", package, *quiet], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, f"npm pack {package} failed\n{done.stdout}{done.stderr}"
    archive = folder / done.stdout.split()[-1]
    with tarfile.open(archive) as tar:
        file = tar.extractfile(member)
        assert file, f"{package} holds no {member}"
        found = json.load(file)
    archive.unlink()
    return found


def _extract(whole: Any) -> Any:
    lacking = PATHS - set(whole["paths"])
    assert not lacking, f"GitHub describes no {sorted(lacking)}"

    def there(node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            place = whole
            for part in node["$ref"].split("/")[1:]:
                place = place[part]
            node = place
        return node

    def example(node: Any) -> Any:
        """Its value; None for one whose parts are named and left out."""
        value = there(node).get("value")
        return None if any(_refs(value)) else value

    def content(node: Any) -> Any:
        return there(node).get("content", {}).get(JSON, {})

    operations = []
    for path in sorted(PATHS):
        common = whole["paths"][path].get("parameters", [])
        for method, said in whole["paths"][path].items():
            if method == "parameters":
                continue
            parameters = [there(p) for p in (*common, *said.get("parameters", ()))]
            request = said.get("requestBody", {})
            answers = {}
            for status, answer in said["responses"].items():
                told = content(answer)
                listed = told.get("examples", {}).values()
                examples = [example(e) for e in listed]
                shown = next((e for e in examples if e is not None), None)
                answers[status] = {"schema": _plain(told.get("schema")), "example": shown}
            operations.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "query": {
                        p["name"]: {"schema": _plain(p["schema"]), "required": p.get("required")}
                        for p in parameters
                        if p["in"] == "query"
                    },
                    "body": _plain(content(request).get("schema")),
                    "body_required": bool(there(request).get("required")),
                    "answers": answers,
                }
            )
    schemas: dict[str, Any] = {}
    ahead = [*ERRORS, *_refs(operations)]
    while ahead:
        name = ahead.pop()
        if name not in schemas:
            schemas[name] = _plain(whole["components"]["schemas"][name])
            ahead += _refs(schemas[name])
    return {"operations": operations, "schemas": schemas}


def _plain(node: Any) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema: what is nullable may be null."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        return {"$ref": PREFIXES.sub("", node["$ref"])}
    made = {key: _plain(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _refs(item)


class Schemas:
    """GitHub's named schemas, and what can be asked of them."""

    def __init__(self, named: dict[str, Schema]) -> None:
        self.named = named
        resources = {name: DRAFT202012.create_resource(schema) for name, schema in named.items()}
        self.registry: Registry[Any] = Registry().with_resources(resources.items())

    def check(self, schema: Schema, value: Any) -> list[str]:
        validator = Draft202012Validator(schema, registry=self.registry)
        return [_told(error) for error in validator.iter_errors(value)]

    def flat(self, schema: Schema, value: Any) -> list[Schema]:
        """The schemas that count for a value: references followed, other alternatives left out."""
        while "$ref" in schema:
            schema = self.named[schema["$ref"]]
        found = [schema]
        for part in schema.get("allOf", ()):
            found += self.flat(part, value)
        for kind in ("anyOf", "oneOf"):
            if branches := [self.flat(branch, value) for branch in schema.get(kind, ())]:
                found += max(branches, key=partial(_fit, value))
        return found

    def properties(self, schemas: list[Schema]) -> dict[str, Schema]:
        found: dict[str, Schema] = {}
        for schema in schemas:
            for name, one in schema.get("properties", {}).items():
                found[name] = {"allOf": [found[name], one]} if name in found else one
        return found

    def unknown(self, schema: Schema, value: Any, where: str = "$") -> Iterator[str]:
        """Properties that the schema does not list, at any depth where it lists any."""
        flat = self.flat(schema, value)
        if isinstance(value, list):
            items: Schema = next((s["items"] for s in flat if "items" in s), {})
            for index, item in enumerate(value):
                yield from self.unknown(items, item, f"{where}[{index}]")
        if not isinstance(value, dict):
            return
        listed = self.properties(flat)
        others = [s["additionalProperties"] for s in flat if "additionalProperties" in s]
        opened = not listed or any(other is not False for other in others)
        for name, item in value.items():
            if name in listed:
                yield from self.unknown(listed[name], item, f"{where}.{name}")
            elif not opened:
                yield f"{where}.{name}: GitHub knows no such property"


def _fit(value: Any, branch: list[Schema]) -> tuple[int, int]:
    """How well a value fits: the type and enumerated properties first, then what is listed."""
    kinds: dict[str, Any] = {"null": type(None), "object": dict, "array": list, "string": str}
    kinds |= {"boolean": bool, "integer": int, "number": (int, float)}
    for schema in branch:
        kind = schema.get("type", [])
        names = [kind] if isinstance(kind, str) else kind
        if names and not any(isinstance(value, kinds[name]) for name in names):
            return -1, 0
        if "enum" in schema and value not in schema["enum"]:
            return -1, 0
    if not isinstance(value, dict):
        return 0, 0
    listed = {k: v for schema in branch for k, v in schema.get("properties", {}).items()}
    wrong = sum(k in value and "enum" in v and value[k] not in v["enum"] for k, v in listed.items())
    return -wrong, len(listed.keys() & value.keys()) - len(value.keys() - listed.keys())


def _told(error: ValidationError) -> str:
    deepest = best_match([error]) or error
    return f"{deepest.json_path}: {deepest.message[:300]}"


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    said: dict[str, Any]
    schemas: Schemas

    def check_request(self, query: dict[str, str], body: Any) -> list[str]:
        known = self.said["query"]
        told = [f"query {name}: GitHub knows no such parameter" for name in query.keys() - known]
        for name, parameter in known.items():
            if name in query:
                value = _typed(query[name], self.schemas.flat(parameter["schema"], None))
                faults = self.schemas.check(parameter["schema"], value)
                told += [f"query {name}{fault.removeprefix('$')}" for fault in faults]
            elif parameter["required"]:
                told.append(f"query {name} is required")
        schema = self.said["body"]
        if body is None:
            return told + ["a body is required"] * self.said["body_required"]
        if schema is None:
            return [*told, "there must be no body"]
        faults = [*self.schemas.check(schema, body), *self.schemas.unknown(schema, body)]
        return told + [f"body {fault}" for fault in dict.fromkeys(faults)]

    def schema(self, status: int) -> Schema | None:
        """Of the JSON answered with this status."""
        answer = self.said["answers"].get(str(status))
        schema: Schema | None = answer and answer["schema"]
        return schema

    def check_answer(self, status: int, body: Any) -> list[str]:
        """Whether GitHub documents this status, and the body keeps to its schema."""
        schema = self.schema(status)
        listed = str(status) in self.said["answers"]
        if not listed and status < 500 and status not in UNLISTED:
            return [f"GitHub documents no status {status}"]
        if schema is None and status < 300:
            return [] if body is None else ["there must be no body"]
        if schema is None:
            detailed = isinstance(body, dict) and "errors" in body
            schema = {"$ref": "validation-error" if detailed else "basic-error"}
            if body is None:
                return []
        return self.schemas.check(schema, body)

    def unknown(self, status: int, body: Any) -> list[str]:
        """Properties of an answer that GitHub does not list."""
        schema = self.schema(status)
        return list(self.schemas.unknown(schema, body)) if schema else []

    def example(self, status: int) -> Any | None:
        """The published example of the answer."""
        return self.said["answers"].get(str(status), {}).get("example")

    def properties(self, status: int) -> set[str]:
        """What the answer, or each item of a list, may hold."""
        schema = self.schema(status)
        if schema is None:
            return set()
        (first, *more) = self.schemas.flat(schema, {})
        items = first.get("items")
        flat = self.schemas.flat(items, {}) if items else [first, *more]
        return set(self.schemas.properties(flat))


def _typed(text: str, flat: list[Schema]) -> Any:
    kinds = {schema.get("type") for schema in flat if isinstance(schema.get("type"), str)}
    if "integer" in kinds and re.fullmatch(r"-?\d+", text):
        return int(text)
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    return text


class Description:
    """What `fetch` put into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = json.loads((folder / "rest.json").read_text())
        self.schemas = Schemas(found["schemas"])
        self.operations = sorted(
            (Operation(said, self.schemas) for said in found["operations"]),
            key=lambda operation: operation.said["path"].count("{"),
        )

    @cached_property
    def events(self) -> Any:
        return json.loads((self.folder / "events.json").read_text())

    def operation(self, method: str, path: str) -> Operation | None:
        """The operation of a request; a branch or a tag may hold slashes."""
        for operation in self.operations:
            pattern = re.sub(r"\{(branch|tag)\}$", ".+", operation.said["path"])
            pattern = re.sub(r"\{\w+\}", "[^/]+", pattern)
            if operation.said["method"] == method and re.fullmatch(pattern, path):
                return operation
        return None

    @cached_property
    def event_schemas(self) -> Schemas:
        return Schemas(_plain(self.events["definitions"]))

    def event(self, name: str, payload: Any) -> str | None:
        """The name of the schema of an event. GitHub publishes none for `schedule`."""
        action = payload.get("action") if isinstance(payload, dict) else None
        kinds = (f"{name}${action}", f"{name}$event", f"{name}_event")
        return next((kind for kind in kinds if kind in self.events["definitions"]), None)

    def check_event(self, name: str, payload: Any) -> list[str]:
        """What is wrong with the payload of an event."""
        kind = self.event(name, payload)
        if kind is None:
            return [f"GitHub publishes no event {name}"]
        schema = {"$ref": f"#/definitions/{kind}", "definitions": self.events["definitions"]}
        return [_told(error) for error in Draft7Validator(schema).iter_errors(payload)]
