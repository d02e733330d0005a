"""The stand-in for GitHub keeps to what GitHub publishes, and sees what does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from plans import FACTS
from published import REPO, Description, Schemas
from standin import BOT, StandIn, filled, smallest

SHA = "a" * 40
RULESET: dict[str, Any] = {
    "name": "registry",
    "target": "branch",
    "enforcement": "active",
    "bypass_actors": [{"actor_id": None, "actor_type": "DeployKey", "bypass_mode": "always"}],
    "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
    "rules": [
        {"type": "deletion"},
        {
            "type": "required_status_checks",
            "parameters": {
                "required_status_checks": [{"context": "ci"}],
                "strict_required_status_checks_policy": True,
            },
        },
    ],
}
CUSTOM = {"protected_branches": False, "custom_branch_policies": True}
PRODUCTION = {
    "wait_timer": 5,
    "prevent_self_review": True,
    "reviewers": [{"type": "User", "id": 3}, {"type": "Team", "id": 7}],
    "deployment_branch_policy": CUSTOM,
}


@pytest.fixture
def hub(published: Description) -> Iterator[StandIn]:
    with StandIn(published) as hub:
        yield hub


class Caller:
    """Paths are below the repository unless they start with '//'."""

    def __init__(self, hub: StandIn) -> None:
        self.hub = hub
        self.headers: dict[str, str] = {}

    def __call__(self, method: str, path: str, body: Any = None, expect: int | None = 200) -> Any:
        where = path[1:] if path.startswith("//") else f"/repos/{self.hub.slug}{path}"
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.hub.url}{where}", data, self.headers, method=method)
        try:
            with urlopen(request, timeout=10) as answer:
                status, text, self.link = answer.status, answer.read(), answer.headers.get("Link")
        except HTTPError as error:
            with error:
                status, text = error.code, error.read()
        assert expect in (None, status), f"{method} {path} gave {status}: {text.decode()}"
        return json.loads(text) if text else None


@pytest.fixture
def call(hub: StandIn) -> Caller:
    return Caller(hub)


# Each route, and GitHub finds no fault with it


def test_people_and_the_repository(hub: StandIn, call: Caller) -> None:
    assert call("GET", "//meta")["ssh_keys"] == ["ssh-ed25519 AAAA"]
    call("GET", "//user", expect=403)
    hub.logins["ghp_ada"] = "ada"
    call.headers = {"Authorization": "Bearer ghp_ada"}
    assert call("GET", "//user")["login"] == "ada"
    hub.required_token = "ghp_other"
    call("GET", "//user", expect=401)
    hub.required_token = None
    assert call("GET", "//users/octocat")["id"] == 2
    call("GET", "//users/nobody", expect=404)
    assert call("GET", "//orgs/acme/teams/owners")["slug"] == "owners"
    call("GET", "//orgs/acme/teams/nobody", expect=404)
    hub.newest["actions/checkout"] = "v9"
    assert call("GET", "//repos/actions/checkout/releases/latest")["tag_name"] == "v9"
    assert call("GET", "")["owner"]["login"] == "acme"
    assert call("PATCH", "", {"delete_branch_on_merge": True})["delete_branch_on_merge"] is True
    assert hub.errors == []


def test_rulesets(hub: StandIn, call: Caller) -> None:
    made = call("POST", "/rulesets", RULESET, 201)
    call("POST", "/rulesets", RULESET, 422)
    assert "rules" not in call("GET", "/rulesets")[0]
    assert call("GET", f"/rulesets/{made['id']}")["rules"] == RULESET["rules"]
    assert [rule["type"] for rule in call("GET", "/rules/branches/main")] == [
        *("deletion", "required_status_checks")
    ]
    assert call("GET", "/rules/branches/some/other") == []
    changed = call("PUT", f"/rulesets/{made['id']}", {**RULESET, "enforcement": "disabled"})
    assert (changed["id"], changed["enforcement"]) == (made["id"], "disabled")
    assert call("GET", "/rules/branches/main") == []
    call("GET", "/rulesets/1", expect=404)
    hub.lacks.add("rulesets")
    call("GET", "/rulesets", expect=403)
    assert hub.errors == []


def test_environments(hub: StandIn, call: Caller) -> None:
    here = "/environments/production"
    call("GET", here, expect=404)
    call("PUT", here)
    call("POST", f"{here}/deployment-branch-policies", {"name": "main"}, 404)
    call("PUT", here, {"deployment_branch_policy": dict.fromkeys(CUSTOM, True)}, 422)
    call("PUT", here, {"reviewers": [{"type": "User", "id": 99}]}, 422)
    call("PUT", here, PRODUCTION)
    there = call("GET", here)
    wait, review, branch = there["protection_rules"]
    assert (wait["wait_timer"], branch["type"]) == (5, "branch_policy")
    assert review["prevent_self_review"] is True
    ada, owners = review["reviewers"]
    assert (ada["reviewer"]["login"], owners["reviewer"]["slug"]) == ("ada", "owners")
    assert call("GET", "/environments")["environments"][0]["id"] == there["id"]
    made = call("POST", f"{here}/deployment-branch-policies", {"name": "main", "type": "branch"})
    call("POST", f"{here}/deployment-branch-policies", {"name": "main"}, 303)
    policies = call("GET", f"{here}/deployment-branch-policies")
    assert (policies["total_count"], policies["branch_policies"][0]["name"]) == (1, "main")
    call("DELETE", f"{here}/deployment-branch-policies/{made['id']}", expect=204)
    call("DELETE", f"{here}/deployment-branch-policies/{made['id']}", expect=404)
    assert hub.errors == []


@pytest.mark.parametrize("where", ["/actions/secrets", "/environments/dev/secrets"])
def test_secrets(where: str, hub: StandIn, call: Caller) -> None:
    call("PUT", "/environments/dev")
    body = {"encrypted_value": "c2VhbGVk", "key_id": call("GET", f"{where}/public-key")["key_id"]}
    call("PUT", f"{where}/REGISTRY_KEY", body, 201)
    call("PUT", f"{where}/registry_key", body, 204)
    call("PUT", f"{where}/REGISTRY_KEY", {**body, "key_id": "1"}, 422)
    assert [secret["name"] for secret in call("GET", where)["secrets"]] == ["REGISTRY_KEY"]
    call("DELETE", f"{where}/REGISTRY_KEY", expect=204)
    call("DELETE", f"{where}/REGISTRY_KEY", expect=404)
    assert hub.errors == []


def test_deploy_keys_page_by_page(hub: StandIn, call: Caller) -> None:
    key = {"title": "mlops registry", "key": "ssh-ed25519 AAAA of-somebody", "read_only": False}
    made = call("POST", "/keys", key, 201)
    assert (made["key"], made["read_only"]) == ("ssh-ed25519 AAAA", False)
    call("POST", "/keys", key, 422)
    call("POST", "/keys", {"key": "ssh-ed25519 BBBB"}, 201)
    assert call("GET", "/keys?per_page=1")[0]["id"] == made["id"]
    assert 'per_page=1&page=2>; rel="next"' in call.link
    assert call("GET", "/keys?per_page=1&page=2")[0]["key"] == "ssh-ed25519 BBBB"
    assert call.link is None
    call("DELETE", f"/keys/{made['id']}", expect=204)
    assert len(hub.keys) == 1
    assert hub.errors == []


def test_runs_and_workflows(hub: StandIn, call: Caller) -> None:
    hub.run(5, "promote.yml", conclusion=None, status="waiting")
    hub.approve(5, "staging", "octocat", state="rejected")
    hub.approve(5, "production", "ada")
    run = call("GET", "/actions/runs/5")
    assert (run["actor"]["login"], run["status"], run["conclusion"]) == ("octocat", "waiting", None)
    told = [
        (approval["user"]["login"], approval["state"], approval["environments"][0]["name"])
        for approval in call("GET", "/actions/runs/5/approvals")
    ]
    assert told == [("octocat", "rejected", "staging"), ("ada", "approved", "production")]
    call("GET", "/actions/runs/6", expect=404)
    call("POST", "/actions/workflows/ci.yml/dispatches", {"ref": "main"}, 204)
    assert hub.dispatches == [("ci.yml", "main")]
    hub.workflows = {"watch.yml": "disabled_inactivity"}
    (watch,) = call("GET", "/actions/workflows")["workflows"]
    assert (watch["path"], watch["state"]) == (".github/workflows/watch.yml", "disabled_inactivity")
    there = call("GET", "/actions/permissions/workflow")
    call("PUT", "/actions/permissions/workflow", there, 204)
    assert hub.errors == []


def test_pull_requests(hub: StandIn, call: Caller) -> None:
    asked = {"title": "Promote", "head": "promotions/x", "base": "registry", "body": "Please"}
    call("POST", "/pulls", asked, 403)
    hub.permissions["can_approve_pull_request_reviews"] = True
    made = call("POST", "/pulls", asked, 201)
    call("POST", "/pulls", asked, 422)
    number = made["number"]
    unmerged = ("merged", "merged_at", "merged_by", "closed_at", "merge_commit_sha")
    assert [made[name] for name in unmerged] == [False, None, None, None, None]
    assert (made["user"]["login"], made["head"]["repo"]["full_name"]) == (BOT, hub.slug)
    listed = call("GET", "/pulls?state=open&head=acme:promotions/x&base=registry")
    assert [pull["number"] for pull in listed] == [number]
    assert "merged_by" not in listed[0]
    assert call("GET", "/pulls?head=acme:other") == []
    assert call("PATCH", f"/pulls/{number}", {"title": "Other"})["title"] == "Other"
    hub.review(number, "ada")
    (review,) = call("GET", f"/pulls/{number}/reviews")
    assert (review["user"]["login"], review["state"], review["commit_id"]) == (
        *("ada", "APPROVED", SHA),
    )
    hub.committers[SHA] = "octocat"
    assert call("GET", f"/commits/{SHA}")["author"]["login"] == "octocat"
    hub.merge(number, "ada", "d" * 40)
    merged = call("GET", f"/pulls/{number}")
    assert (merged["merged_by"]["login"], merged["merge_commit_sha"]) == ("ada", "d" * 40)
    for sha in (SHA, "d" * 40):
        assert call("GET", f"/commits/{sha}/pulls")[0]["number"] == number
    call("GET", "/pulls/1", expect=404)
    assert hub.errors == []


def test_what_is_newer(hub: StandIn, call: Caller) -> None:
    """Variables, issues, runs that wait, Apps, owners, the organisation's rulesets."""
    call("POST", "/actions/variables", {"name": "X", "value": "1"}, 201)
    call("PATCH", "/actions/variables/X", {"name": "X", "value": "2"}, 204)
    assert call("GET", "/actions/variables/X")["value"] == "2"
    call("GET", "/actions/variables/Y", expect=404)
    made = call("POST", "/issues", {"title": "watch fails", "body": "The run"}, 201)
    assert call("GET", f"/issues?state=open&creator={BOT}")[0]["title"] == "watch fails"
    call("PATCH", f"/issues/{made['number']}", {"state": "closed"})
    assert call("GET", "/issues") == []
    hub.run(5, "promote.yml", status="waiting", conclusion=None)
    hub.pending[5] = ["production"]
    (waits,) = call("GET", "/actions/runs?status=waiting")["workflow_runs"]
    assert waits["triggering_actor"]["login"] == "octocat"
    (place,) = call("GET", "/actions/runs/5/pending_deployments")
    assert place["environment"]["name"] == "production"
    call("POST", "/actions/runs/5/cancel", expect=202)
    assert call("GET", "/actions/runs/5")["conclusion"] == "cancelled"
    hub.apps["flights"], hub.installation = 4711, 5
    assert call("GET", "//apps/flights")["id"] == 4711
    assert call("GET", "/installation")["id"] == 5
    token = call("POST", "//app/installations/5/access_tokens", {"repositories": ["x"]}, 201)
    assert token["token"] == "ghs_app"
    assert call("GET", "/codeowners/errors") == {"errors": []}
    required = {"name": "gate", "target": "branch", "enforcement": "active"}
    made = call("POST", "//orgs/acme/rulesets", required, 201)
    assert [each["name"] for each in call("GET", "//orgs/acme/rulesets")] == ["gate"]
    there = f"//orgs/acme/rulesets/{made['id']}"
    assert call("PUT", there, {"enforcement": "disabled"})["enforcement"] == "disabled"
    assert call("GET", there)["name"] == "gate"
    assert hub.errors == []


ASKING: dict[str, tuple[str, str, Any]] = {
    "rulesets": ("POST", "/rulesets", RULESET),
    "reviewers": ("PUT", "/environments/dev", {"wait_timer": 0}),
    "branches": ("PUT", "/environments/dev", {"deployment_branch_policy": CUSTOM}),
    "deploy keys": ("POST", "/keys", {"title": "x", "key": "ssh-ed25519 AAAA"}),
    "pull requests by Actions": (
        *("PUT", "/actions/permissions/workflow"),
        {"can_approve_pull_request_reviews": True},
    ),
    "organisation rulesets": ("GET", "//orgs/acme/rulesets", None),
}


@pytest.mark.parametrize("name", FACTS)
def test_what_a_plan_lacks_is_answered_as_the_table_says(
    name: str, hub: StandIn, call: Caller
) -> None:
    hub.lacks.add(name)
    method, path, body = ASKING[name]
    told = call(method, path, body, FACTS[name].status)
    assert told["message"] == FACTS[name].message
    if "environments" in path:
        assert "dev" in hub.environments, "it is there all the same"
    hub.lacks.clear()
    call(method, path, body, expect=None)
    assert hub.errors == []


def test_comments(hub: StandIn, call: Caller) -> None:
    made = call("POST", "/issues/7/comments", {"body": "Passed"}, 201)
    changed = call("PATCH", f"/issues/comments/{made['id']}", {"body": "Refused"})
    assert (changed["user"]["login"], changed["body"]) == (BOT, "Refused")
    assert [comment["id"] for comment in call("GET", "/issues/7/comments")] == [made["id"]]
    assert call("GET", "/issues/8/comments") == []
    assert hub.errors == []


def test_releases(hub: StandIn, call: Caller) -> None:
    draft = {"tag_name": "v1.0.0", "name": "1.0.0", "body": "A model", "draft": True}
    made = call("POST", "/releases", draft, 201)
    call("POST", "/releases", draft, 422)
    call("GET", "/releases/tags/v1.0.0", expect=404)
    call("PATCH", f"/releases/{made['id']}", {"draft": False})
    assert call("GET", "/releases/tags/v1.0.0")["published_at"]
    assert call("GET", "/releases/latest")["name"] == "1.0.0"
    assert [release["body"] for release in call("GET", "/releases")] == ["A model"]
    assert hub.errors == []


def test_deployments(hub: StandIn, call: Caller) -> None:
    asked: dict[str, Any] = {
        "ref": "v1.0.0",
        "task": "deploy",
        "environment": "dev",
        "auto_merge": False,
        "required_contexts": [],
        "payload": {"since": "2026-01-02"},
        "description": "promote",
    }
    first = call("POST", "/deployments", asked, 201)
    second = call("POST", "/deployments", {**asked, "ref": "v1.1.0"}, 201)
    listed = call("GET", "/deployments?environment=dev&task=deploy")
    assert [deployment["id"] for deployment in listed] == [second["id"], first["id"]]
    (same,) = call("GET", "/deployments?ref=v1.0.0")
    assert same["payload"] == {"since": "2026-01-02"}
    where = f"/deployments/{first['id']}/statuses"
    call("POST", where, {"state": "success", "environment": "dev", "log_url": "https://x/1"}, 201)
    assert [(s["state"], s["log_url"]) for s in call("GET", where)] == [("success", "https://x/1")]
    call("GET", "/deployments/1/statuses", expect=404)
    assert hub.errors == []


# What keeps not to it is told

WRONG: dict[str, tuple[str, str, Any, str]] = {
    "a type": ("POST", "/deployments", {"ref": 7}, "body $.ref: 7 is not of type 'string'"),
    "no ref": ("POST", "/deployments", {}, "'ref' is a required property"),
    "no body": ("POST", "/rulesets", None, "a body is required"),
    "a body": ("DELETE", "/keys/1", {}, "there must be no body"),
    "a property": ("POST", "/releases", {"tag_name": "v1", "tags": 1}, "body $.tags: GitHub knows"),
    "deep": (
        "POST",
        "/rulesets",
        {**RULESET, "bypass_actors": [{"actor_type": "DeployKey", "mode": "always"}]},
        "body $.bypass_actors[0].mode: GitHub knows no such property",
    ),
    "a rule": (
        "POST",
        "/rulesets",
        {**RULESET, "rules": [{"type": "required_reviews"}]},
        "body $.rules[0]",
    ),
    "a query": ("GET", "/pulls?branch=main", None, "query branch: GitHub knows no such parameter"),
    "a query's type": ("GET", "/keys?page=one", None, "query page: 'one' is not of type 'integer'"),
    "a query's value": ("GET", "/pulls?state=merged", None, "query state: 'merged' is not one of"),
    "a path": ("GET", "/deploy-keys", None, "GitHub describes no such operation"),
}


@pytest.mark.parametrize(("method", "path", "body", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_told(
    method: str, path: str, body: Any, words: str, hub: StandIn, call: Caller
) -> None:
    hub.keys = [{"id": 1, "title": "x", "key": "y"}]
    call(method, path, body, expect=None)
    assert words in "\n".join(hub.errors)


def test_an_invented_property_is_told(hub: StandIn, call: Caller) -> None:
    hub.run(5, outcome="success")
    hub.keys = [{"id": 1, "title": "x", "key": "y", "owner": {"login": "ada"}}]
    hub.open("Promote", None, "x", "main")
    hub.pulls[0]["head"]["branch"] = "x"
    call("GET", "/actions/runs/5")
    call("GET", "/keys")
    call("GET", f"/pulls/{hub.pulls[0]['number']}")
    assert [error.partition(": ")[2].partition(":")[0] for error in hub.errors] == [
        *("$.outcome", "$[0].owner", "$.head.branch")
    ]


def test_an_answer_of_a_wrong_type_is_told(hub: StandIn, call: Caller) -> None:
    hub.run(5, head_sha=None)
    call("GET", "/actions/runs/5")
    assert hub.errors == [
        "GET /repos/acme/late-flights/actions/runs/5 -> 200: $.head_sha: "
        "None is not of type 'string'"
    ]


def test_a_status_that_is_not_documented_is_told(hub: StandIn, call: Caller) -> None:
    for status in (403, 503, 418):
        hub.fault("keys", status, times=1)
        call("GET", "/keys", expect=status)
    assert [error.rpartition(": ")[2] for error in hub.errors] == ["GitHub documents no status 418"]


def test_a_hub_that_fails_tells_it(hub: StandIn, call: Caller) -> None:
    hub.runs = {5: {"id": 5}, 6: None}  # type: ignore[dict-item]
    call("GET", "/actions/runs/6", expect=500)
    assert "AttributeError" in hub.errors[0]


# The description


def test_examples_and_properties(published: Description) -> None:
    listed = published.operation("GET", "/repos/acme/late-flights/keys")
    assert listed
    assert {"id", "key", "read_only"} <= listed.properties(200)
    assert (listed.example(200) or [{}])[0]["title"]
    assert listed.example(418) is None
    latest = published.operation("GET", f"{REPO}/releases/latest")
    assert latest
    assert latest.said["path"] == f"{REPO}/releases/latest"
    assert published.operation("DELETE", "/meta") is None


def test_every_answer_can_be_made_up(published: Description) -> None:
    for operation in published.operations:
        for status in operation.said["answers"]:
            schema = operation.schema(int(status))
            if schema and int(status) < 300:
                empty: Any = [] if "items" in published.schemas.flat(schema, [])[0] else {}
                made = filled(published.schemas, schema, empty, None)
                told = operation.check_answer(int(status), made)
                assert told == [], f"{operation.said['method']} {operation.said['path']}"


DISPATCH = {"inputs": None, "ref": "refs/heads/main", "workflow": ".github/workflows/promote.yml"}


def test_a_whole_event_passes(published: Description) -> None:
    text = json.dumps(published.events["definitions"]).replace('"#/definitions/', '"')
    schemas = Schemas(json.loads(text))
    for name, action in (
        ("push", "event"),
        ("pull_request", "opened"),
        ("workflow_run", "completed"),
    ):
        event = smallest(schemas, {"$ref": f"{name}${action}"})
        assert published.check_event(name, event) == []


def test_an_event_with_a_fault_is_told(published: Description) -> None:
    told = published.check_event("workflow_dispatch", {**DISPATCH, "ref": 7})
    assert "$.ref: 7 is not of type 'string'" in told
    assert any("'repository' is a required property" in words for words in told)
    told = published.check_event("pull_request", {"action": "opened", "number": "7"})
    assert "$.number: '7' is not of type 'integer'" in told
    assert published.check_event("schedule", {}) == ["GitHub publishes no event schedule"]
