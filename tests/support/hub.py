"""A small GitHub on loopback, in memory: the part of its REST API that the machinery calls.

What it holds are plain lists and dicts that a test reads and sets. It answers as GitHub documents;
the template's own tests hold every request and answer against GitHub's published description.
"""

from __future__ import annotations

import json
import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from plans import FACTS, Plan

BOT = "github-actions[bot]"
WHEN = "2026-01-02T03:04:05Z"
PEOPLE = {"acme": 1, "octocat": 2, "ada": 3, BOT: 41898282}
KEY_ID = "568250167242549743"
Item = dict[str, Any]


class No(Exception):
    """An answer that is no success; one error may be told in detail."""

    def __init__(self, status: int, message: str, /, **error: str) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        told = {"message": message, "documentation_url": "https://docs"}
        more = {"errors": [{"code": "custom", **error}]} if error else {}
        self.body: Item | None = {**told, **more} if message else None


class Request(tuple[str, str, Any]):
    """Method, path and body; beside them the query, the headers and who acts."""

    query: dict[str, str]
    headers: dict[str, str]
    login: str

    @property
    def body(self) -> Item:
        return self[2] or {}

    def need(self, field: str) -> Any:
        if field not in self.body:
            raise No(422, f'Invalid request.\n\n"{field}" wasn\'t supplied.')
        return self.body[field]

    def some(self, **defaults: Any) -> Item:
        """These fields of the body, or their defaults."""
        return {name: self.body.get(name, value) for name, value in defaults.items()}


class Paged:
    """A list that is answered page by page; `key` wraps it as GitHub does."""

    def __init__(self, items: list[Any], key: str | None = None) -> None:
        self.items, self.key = items, key

    def page(self, query: dict[str, str], url: str) -> tuple[Any, dict[str, str]]:
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        part = self.items[(number - 1) * size : number * size]
        more = len(self.items) > number * size
        following = f"<{url}?{urlencode({**query, 'page': number + 1})}>"
        link = {"Link": f'{following}; rel="next"'} if more else {}
        return {"total_count": len(self.items), self.key: part} if self.key else part, link


class Hub:
    """One repository and what GitHub knows of it."""

    def __init__(
        self,
        owner: str = "acme",
        name: str = "late-flights",
        default_branch: str = "main",
        private: bool = False,
        owner_type: str = "Organization",
    ) -> None:
        self.owner, self.owner_type = owner, owner_type
        self.people = {**PEOPLE, owner: 1}
        self.teams = {"owners": 7}
        self.slug = f"{owner}/{name}"
        self.page = f"https://github.com/{self.slug}"
        self.repository: Item = {
            "name": name,
            "full_name": self.slug,
            "id": 1296269,
            "private": private,
            "visibility": "private" if private else "public",
            "default_branch": default_branch,
            "html_url": self.page,
            "owner": self.person(owner),
        }
        self.lacks: set[str] = set()  # of the facts in plans.py
        self.rulesets: list[Item] = []
        self.org_rules: list[Item] = []
        self.owner_errors: list[Item] = []
        self.environments: dict[str, Item] = {}
        self.branch_policies: dict[str, list[Item]] = {}
        self.secrets: dict[str, dict[str, str]] = {"": {}}  # those of the repository under ""
        self.keys: list[Item] = []
        self.permissions: Item = {
            "default_workflow_permissions": "write",
            "can_approve_pull_request_reviews": False,
        }
        self.workflows: dict[str, str] = {}  # which files it knows, and in which state
        self.runs: dict[int, Item] = {}
        self.pending: dict[int, list[str]] = {}  # the environments that a run waits for
        self.issues: list[Item] = []
        self.installation: int | None = None  # of a GitHub App, whose token is `app_token`
        self.app_token = "ghs_app"
        self.app_public: Any = None
        self.approvals: dict[int, list[Item]] = {}
        self.dispatches: list[tuple[str, str]] = []
        self.pulls: list[Item] = []
        self.commit_pulls: dict[str, list[int]] = {}
        self.reviews: dict[int, list[Item]] = {}
        self.variables: dict[str, str] = {}
        self.apps: dict[str, int] = {}
        self.committers: dict[str, str] = {}  # who made which commit; else GitHub does not know
        self.comments: list[Item] = []
        self.releases: list[Item] = []
        self.deployments: list[Item] = []
        self.statuses: dict[int, list[Item]] = {}
        self.newest: dict[str, str] = {}  # tags of the latest releases of other repositories
        self.head_sha: Callable[[str], str] = lambda branch: "a" * 40
        self.faults: list[Item] = []
        self.requests: list[Request] = []
        self.errors: list[str] = []
        self.tokens: list[str | None] = []  # as they were sent
        self.logins: dict[str, str] = {}  # who acts with which token; else the bot
        self.required_token: str | None = None
        self.box: Any = None  # the key that secrets are sealed for
        self._number = 100
        self._lock = threading.Lock()

    # The server

    def __enter__(self) -> Self:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def _serve(self) -> None:
                hub.serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def serve(self, http: BaseHTTPRequestHandler) -> None:
        length = int(http.headers.get("Content-Length") or 0)
        text = http.rfile.read(length)
        parts = urlsplit(http.path)
        request = Request((http.command, parts.path, json.loads(text) if text else None))
        request.query = dict(parse_qsl(parts.query))
        request.headers = dict(http.headers.items())
        status, headers, answer = self._answered(request)
        data = b"" if answer is None else json.dumps(answer).encode()
        with suppress(ConnectionError):
            http.send_response(status)
            kind = {"Content-Type": "application/json; charset=utf-8"}
            for name, value in {**kind, "Content-Length": str(len(data)), **headers}.items():
                http.send_header(name, value)
            http.end_headers()
            http.wfile.write(data)

    def _answered(self, request: Request) -> tuple[int, dict[str, str], Any]:
        method, path, body = request
        said, headers = f"{method} {path}", {}
        try:
            with self._lock:
                self.requests.append(request)
                self.asked(method, path, request.query, body, request.headers)
            try:
                headers = self._fault(said)
                with self._lock:
                    status, answer = self._route(request)
                if isinstance(answer, Paged):
                    answer, link = answer.page(request.query, f"{self.url}{path}")
                    headers = headers | link
            except No as no:
                status, answer, headers = no.status, no.body, no.headers
            return status, headers, self.answer(method, path, request.query, status, answer)
        except Exception as error:
            self.errors.append(f"{said}: {error!r}")
            return 500, {}, {"message": str(error)}

    def asked(
        self, method: str, path: str, query: dict[str, str], body: Any, headers: dict[str, str]
    ) -> None:
        """Called with every request; for a subclass that checks them."""

    def answer(self, method: str, path: str, query: dict[str, str], status: int, body: Any) -> Any:
        """Called with every answer; for a subclass that completes and checks them."""
        return body

    def fault(self, match: str, status: int | None, times: int | None = None, **more: Any) -> None:
        """Let requests that match fail, or with status None only be slow (`delay`, seconds)."""
        self.faults.append({"match": match, "status": status, "times": times, **more})

    def _fault(self, said: str) -> dict[str, str]:
        for fault in self.faults:
            times = fault.get("times")
            if times == 0 or not re.search(fault["match"], said):
                continue
            fault["times"] = times and times - 1
            time.sleep(fault.get("delay", 0))
            if fault["status"]:
                no = No(fault["status"], fault.get("message", "Out of order"))
                no.headers = fault.get("headers", {})
                raise no
        return {}

    def _route(self, request: Request) -> tuple[int, Any]:
        method, path, _ = request
        sent = request.headers.get("Authorization")
        self.tokens.append(sent)
        token = (sent or "").partition(" ")[2]
        if self.required_token not in (None, token):
            raise No(401, "Bad credentials")
        request.login = self.logins.get(token, BOT)
        base = f"/repos/{self.slug}"
        where = unquote(path[len(base) :] if f"{path}/".startswith(f"{base}/") else f"/{path}")
        for verb, pattern, kinds, status, route in _ROUTES:
            match = pattern.fullmatch(where)
            if verb == method and match:
                pairs = zip(kinds, match.groups(), strict=True)
                words = [int(word) if kind == "#" else word for kind, word in pairs]
                body = route(self, request, *words)
                return 204 if body is None else status, body
        raise No(404, "Not Found")

    # What people do on GitHub

    def run(self, number: int, workflow: str = "promote.yml", **fields: Any) -> None:
        """A run of a workflow."""
        branch = self.repository["default_branch"]
        actor = fields.pop("actor", "octocat")
        started = fields.pop("triggering_actor", actor)
        self.runs[number] = {
            "id": number,
            "name": workflow,
            "path": f".github/workflows/{workflow}",
            "event": "workflow_dispatch",
            "actor": self.person(actor) if isinstance(actor, str) else actor,
            "triggering_actor": self.person(started) if isinstance(started, str) else started,
            "head_branch": branch,
            "head_sha": "a" * 40,
            "run_number": 1,
            "run_attempt": 1,
            "html_url": f"{self.page}/actions/runs/{number}",
            "status": "completed",
            "conclusion": "success",
            **fields,
        }

    def approve(
        self,
        run_id: int,
        environment: str,
        login: str = "ada",
        state: str = "approved",
        ok: bool = True,
    ) -> None:
        """Somebody reviews a run that waits for an environment; not `ok` is rejected."""
        self.approvals.setdefault(run_id, []).append(
            {
                "state": state if ok else "rejected",
                "comment": "",
                "user": self.person(login),
                "environments": [{"name": environment}],
            }
        )

    def review(self, number: int, login: str, state: str = "APPROVED", **fields: Any) -> None:
        """Somebody reviews what a pull request holds now."""
        sha = found(self.pulls, number=number)["head"]["sha"]
        made = {"id": self.next(), "user": self.person(login), "state": state, "body": ""}
        self.reviews.setdefault(number, []).append({**made, "commit_id": sha, **fields})

    def merge(self, number: int, login: str = "ada", sha: str | None = None) -> None:
        pull = found(self.pulls, number=number)
        pull |= {"state": "closed", "merged": True, "merged_at": WHEN, "closed_at": WHEN}
        pull |= {"merged_by": self.person(login), "merge_commit_sha": sha or pull["head"]["sha"]}

    def person(self, login: str) -> Item:
        bot = login.endswith("[bot]")
        kind = self.owner_type if login == self.owner else "Bot" if bot else "User"
        return {"login": login, "id": self.people.get(login, 99 if bot else 0), "type": kind}

    def open(self, title: str, body: str | None, head: str, base: str, **fields: Any) -> int:
        """A pull request from a branch; its number."""
        number = self.next()

        def side(ref: str, sha: str) -> Item:
            repo = {"name": self.repository["name"], "full_name": self.slug}
            label, user = f"{self.owner}:{ref}", self.person(self.owner)
            return {"ref": ref, "sha": sha, "label": label, "user": user, "repo": repo}

        self.pulls.append(
            {
                "id": number,
                "number": number,
                "state": "open",
                "title": title,
                "body": body,
                "draft": False,
                "html_url": f"{self.page}/pull/{number}",
                "head": side(head, self.head_sha(head)),
                "base": side(base, "b" * 40),
                "user": self.person(BOT),
                "closed_at": None,
                "merged": False,
                "merged_at": None,
                "merged_by": None,
                "merge_commit_sha": None,
                "commits": 1,
                "changed_files": 1,
                **fields,
            }
        )
        return number

    # Helpers of the routes

    def next(self) -> int:
        self._number += 1
        return self._number

    def environment(self, name: str) -> Item:
        if name not in self.environments:
            raise No(404, "Not Found")
        return self.environments[name]

    def held(self, name: str) -> dict[str, str]:
        """The secrets of an environment, or of the repository."""
        if name:
            self.environment(name)
        return self.secrets.setdefault(name, {})

    def reviewer(self, kind: str, number: int) -> Item:
        names = {n: name for name, n in (self.teams if kind == "Team" else self.people).items()}
        if number not in names:
            raise No(422, f"Reviewer {number} is unknown.")
        if kind == "Team":
            who = {"id": number, "slug": names[number], "name": names[number]}
        else:
            who = self.person(names[number])
        return {"type": kind, "reviewer": who}

    def on(self, plan: Plan) -> None:
        """From now on it is a repository of this kind."""
        self.owner_type, self.lacks = plan.owner_type, set(plan.lacks)
        self.repository |= {"private": plan.private}
        self.repository["visibility"] = "private" if plan.private else "public"
        self.repository["owner"] = self.person(self.owner)

    def need(self, what: str) -> None:
        """Answer as plans.py says where the plan or the organisation does not have it."""
        if what in self.lacks:
            fact = FACTS[what]
            raise No(fact.status, fact.message, **({"message": fact.detail} if fact.detail else {}))


def found(items: list[Item], **want: Any) -> Item:
    for item in items:
        if all(item.get(name) == value for name, value in want.items()):
            return item
    raise No(404, "Not Found")


Route = Callable[..., Any]
_ROUTES: list[tuple[str, re.Pattern[str], list[str], int, Route]] = []
_KINDS = {"#": r"(\d+)", "{}": "([^/]+)", "*": "(.+)"}


def on(verb: str, pattern: str, status: int = 200) -> Callable[[Route], Route]:
    """Answer with what the function returns; None is 204. Paths are the repository's, or //x."""
    kinds = re.findall(r"#|\{\}|\*", pattern)
    whole = re.compile(re.sub(r"#|\{\}|\*", lambda kind: _KINDS[kind[0]], pattern))

    def add(route: Route) -> Route:
        _ROUTES.append((verb, whole, kinds, status, route))
        return route

    return add


# The routes


@on("GET", "//meta")
def _(hub: Hub, ask: Request) -> Any:
    return {"verifiable_password_authentication": False, "ssh_keys": ["ssh-ed25519 AAAA"]}


@on("GET", "//user")
def _(hub: Hub, ask: Request) -> Any:
    if ask.login == BOT:
        raise No(403, "Resource not accessible by integration")
    return hub.person(ask.login)


@on("GET", "//users/{}")
def _(hub: Hub, ask: Request, login: str) -> Any:
    if login not in hub.people:
        raise No(404, "Not Found")
    return hub.person(login)


@on("GET", "//orgs/{}/teams/{}")
def _(hub: Hub, ask: Request, org: str, team: str) -> Any:
    if org != hub.owner or hub.owner_type != "Organization" or team not in hub.teams:
        raise No(404, "Not Found")
    return hub.reviewer("Team", hub.teams[team])["reviewer"]


@on("GET", "//repos/{}/{}/releases/latest")
def _(hub: Hub, ask: Request, owner: str, name: str) -> Any:
    if f"{owner}/{name}" not in hub.newest:
        raise No(404, "Not Found")
    return {"tag_name": hub.newest[f"{owner}/{name}"]}


@on("GET", "")
def _(hub: Hub, ask: Request) -> Any:
    return hub.repository


@on("PATCH", "")
def _(hub: Hub, ask: Request) -> Any:
    hub.repository |= ask.body
    return hub.repository


@on("GET", "//orgs/{}/rulesets")
def _(hub: Hub, ask: Request, org: str) -> Any:
    hub.need("organisation rulesets")
    return Paged([{k: r[k] for k in r if k not in ("rules", "conditions")} for r in hub.org_rules])


@on("POST", "//orgs/{}/rulesets", 201)
def _(hub: Hub, ask: Request, org: str) -> Any:
    hub.need("organisation rulesets")
    source = {"source": org, "source_type": "Organization"}
    hub.org_rules.append({"id": hub.next(), **ask.body, **source})
    return hub.org_rules[-1]


@on("GET", "//orgs/{}/rulesets/#")
def _(hub: Hub, ask: Request, org: str, number: int) -> Any:
    return found(hub.org_rules, id=number)


@on("PUT", "//orgs/{}/rulesets/#")
def _(hub: Hub, ask: Request, org: str, number: int) -> Any:
    ruleset = found(hub.org_rules, id=number)
    ruleset |= ask.body
    return ruleset


@on("GET", "/codeowners/errors")
def _(hub: Hub, ask: Request) -> Any:
    return {"errors": hub.owner_errors}


@on("GET", "/rulesets")
def _(hub: Hub, ask: Request) -> Any:
    hub.need("rulesets")
    whole = ("rules", "conditions", "bypass_actors")
    return Paged([{k: v for k, v in r.items() if k not in whole} for r in hub.rulesets])


@on("POST", "/rulesets", 201)
def _(hub: Hub, ask: Request) -> Any:
    hub.need("rulesets")
    made = {"name": ask.need("name"), "enforcement": ask.need("enforcement")}
    if any(ruleset["name"] == made["name"] for ruleset in hub.rulesets):
        raise No(422, "Validation Failed", field="name", message="Name must be unique")
    made |= ask.some(target="branch", bypass_actors=[], conditions=None, rules=[])
    source = {"source": hub.slug, "source_type": "Repository"}
    hub.rulesets.append({"id": hub.next(), **made, **source})
    return hub.rulesets[-1]


@on("GET", "/rulesets/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    return found(hub.rulesets, id=number)


@on("PUT", "/rulesets/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    ruleset = found(hub.rulesets, id=number)
    ruleset |= ask.body
    return ruleset


@on("GET", "/rules/branches/*")
def _(hub: Hub, ask: Request, branch: str) -> Any:
    hub.need("rulesets")
    names = {f"refs/heads/{branch}", "~ALL"}
    if branch == hub.repository["default_branch"]:
        names.add("~DEFAULT_BRANCH")

    def hit(patterns: list[str]) -> bool:
        return any(fnmatch(name, pattern) for name in names for pattern in patterns)

    rules = []
    for ruleset in hub.rulesets:
        refs = (ruleset["conditions"] or {}).get("ref_name", {})
        for rule in ruleset["rules"]:
            source = {"ruleset_source": hub.slug, "ruleset_source_type": "Repository"}
            whole = {**rule, **source, "ruleset_id": ruleset["id"]}
            if (
                (ruleset["target"], ruleset["enforcement"]) == ("branch", "active")
                and hit(refs.get("include", []))
                and not hit(refs.get("exclude", []))
            ):
                rules.append(whole)
    return Paged(rules)


@on("GET", "/environments")
def _(hub: Hub, ask: Request) -> Any:
    return Paged(list(hub.environments.values()), "environments")


@on("GET", "/environments/{}")
def _(hub: Hub, ask: Request, name: str) -> Any:
    return hub.environment(name)


@on("PUT", "/environments/{}")
def _(hub: Hub, ask: Request, name: str) -> Any:
    reviewers, wait = ask.body.get("reviewers") or [], ask.body.get("wait_timer") or 0
    policy = ask.body.get("deployment_branch_policy")
    hub.environments.setdefault(name, _environment(hub, name, [], None))  # even if it is refused
    hub.secrets.setdefault(name, {})
    if {"wait_timer", "reviewers", "prevent_self_review"} & ask.body.keys():
        hub.need("reviewers")
    if policy:
        hub.need("branches")
    if policy and policy["protected_branches"] == policy["custom_branch_policies"]:
        raise No(422, "protected_branches and custom_branch_policies cannot be the same.")
    rules: list[Item] = []
    if wait:
        rules.append({"type": "wait_timer", "wait_timer": wait})
    if reviewers:
        who = [hub.reviewer(r["type"], r["id"]) for r in reviewers]
        second = bool(ask.body.get("prevent_self_review"))
        rule = {"type": "required_reviewers", "prevent_self_review": second, "reviewers": who}
        rules.append(rule)
    if policy:
        rules.append({"type": "branch_policy"})
    if "reviewers" not in ask.body:  # what is not named stays
        there = hub.environments[name]["protection_rules"]
        rules = [rule for rule in there if rule["type"] == "required_reviewers"] + rules
    hub.environments[name] = _environment(hub, name, rules, policy)
    return hub.environments[name]


def _environment(hub: Hub, name: str, rules: list[Item], policy: Item | None) -> Item:
    return {
        "id": hub.environments.get(name, {}).get("id") or hub.next(),
        "name": name,
        "html_url": f"{hub.page}/deployments/activity_log?environments_filter={name}",
        "protection_rules": [{"id": hub.next(), "node_id": "GA_1", **rule} for rule in rules],
        "deployment_branch_policy": policy,
    }


_POLICIES = "/environments/{}/deployment-branch-policies"


@on("GET", _POLICIES)
def _(hub: Hub, ask: Request, name: str) -> Any:
    hub.environment(name)
    return Paged(hub.branch_policies.get(name, []), "branch_policies")


@on("POST", _POLICIES)
def _(hub: Hub, ask: Request, name: str) -> Any:
    policy = hub.environment(name)["deployment_branch_policy"] or {}
    if not policy.get("custom_branch_policies"):
        raise No(404, "Not Found")
    made = {"name": ask.need("name"), **ask.some(type="branch")}
    there = hub.branch_policies.setdefault(name, [])
    if any(made.items() <= policy.items() for policy in there):
        raise No(303, "")
    there.append({"id": hub.next(), **made})
    return there[-1]


@on("DELETE", f"{_POLICIES}/#")
def _(hub: Hub, ask: Request, name: str, number: int) -> Any:
    there = hub.branch_policies.get(name, [])
    there.remove(found(there, id=number))


def _secret_routes(base: str) -> None:
    """Secrets of the repository, or of an environment that the path names."""

    @on("GET", base)
    def _(hub: Hub, ask: Request, name: str = "") -> Any:
        times = {"created_at": WHEN, "updated_at": WHEN}
        return Paged([{"name": secret, **times} for secret in hub.held(name)], "secrets")

    @on("GET", f"{base}/public-key")
    def _(hub: Hub, ask: Request, name: str = "") -> Any:
        hub.held(name)
        return {"key_id": KEY_ID, "key": _public_key(hub)}

    @on("PUT", base + "/{}", 201)
    def _(hub: Hub, ask: Request, *words: str) -> Any:
        held, secret = hub.held("".join(words[:-1])), words[-1].upper()
        if ask.need("key_id") != KEY_ID:
            raise No(422, "Validation Failed", field="key_id", message="The key is unknown")
        new = secret not in held
        held[secret] = ask.need("encrypted_value")
        return {} if new else None

    @on("DELETE", base + "/{}")
    def _(hub: Hub, ask: Request, *words: str) -> Any:
        if hub.held("".join(words[:-1])).pop(words[-1].upper(), None) is None:
            raise No(404, "Not Found")


def _public_key(hub: Hub) -> str:
    try:
        from nacl.public import PrivateKey
    except ImportError:
        return b64encode(b"k" * 32).decode()
    hub.box = hub.box or PrivateKey.generate()
    return b64encode(bytes(hub.box.public_key)).decode()


_secret_routes("/actions/secrets")
_secret_routes("/environments/{}/secrets")


@on("GET", "/keys")
def _(hub: Hub, ask: Request) -> Any:
    return Paged(hub.keys)


@on("POST", "/keys", 201)
def _(hub: Hub, ask: Request) -> Any:
    hub.need("deploy keys")
    key = " ".join(ask.need("key").split()[:2])
    if any(there["key"] == key for there in hub.keys):
        raise No(422, "Validation Failed", field="key", message="key is already in use")
    made = {"id": hub.next(), "key": key, **ask.some(title="", read_only=False)}
    hub.keys.append({**made, "verified": True, "added_by": ask.login, "last_used": None})
    return hub.keys[-1]


@on("DELETE", "/keys/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    hub.keys.remove(found(hub.keys, id=number))


@on("GET", "/actions/permissions/workflow")
def _(hub: Hub, ask: Request) -> Any:
    return hub.permissions


@on("PUT", "/actions/permissions/workflow")
def _(hub: Hub, ask: Request) -> Any:
    if ask.body.get("can_approve_pull_request_reviews"):
        hub.need("pull requests by Actions")
    hub.permissions |= ask.body


@on("GET", "/actions/runs")
def _(hub: Hub, ask: Request) -> Any:
    state = ask.query.get("status")
    listed = [run for run in hub.runs.values() if state in (None, run["status"])]
    return Paged(listed, "workflow_runs")


@on("GET", "/actions/runs/#/pending_deployments")
def _(hub: Hub, ask: Request, number: int) -> Any:
    found(list(hub.runs.values()), id=number)
    return [{"environment": {"name": name}} for name in hub.pending.get(number, [])]


@on("POST", "/actions/runs/#/cancel", 202)
def _(hub: Hub, ask: Request, number: int) -> Any:
    run = found(list(hub.runs.values()), id=number)
    run |= {"status": "completed", "conclusion": "cancelled"}
    hub.pending.pop(number, None)
    return {}


@on("GET", "/actions/runs/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    return found(list(hub.runs.values()), id=number)


@on("GET", "/actions/runs/#/approvals")
def _(hub: Hub, ask: Request, number: int) -> Any:
    found(list(hub.runs.values()), id=number)
    return hub.approvals.get(number, [])


@on("GET", "/actions/workflows")
def _(hub: Hub, ask: Request) -> Any:
    paths = {f".github/workflows/{name}": state for name, state in hub.workflows.items()}
    return Paged([{"path": path, "state": state} for path, state in paths.items()], "workflows")


@on("POST", "/actions/workflows/{}/dispatches")
def _(hub: Hub, ask: Request, workflow: str) -> Any:
    hub.dispatches.append((workflow, ask.need("ref")))


def _listed(pulls: list[Item]) -> Paged:
    """A list says less of a pull request than its own page does."""
    whole = ("merged", "merged_by", "commits", "changed_files")
    return Paged([{k: v for k, v in pull.items() if k not in whole} for pull in pulls])


@on("GET", "/pulls")
def _(hub: Hub, ask: Request) -> Any:
    state, want = ask.query.get("state", "open"), ask.query
    return _listed(
        [
            pull
            for pull in hub.pulls
            if state in (pull["state"], "all")
            and want.get("head", pull["head"]["label"]) == pull["head"]["label"]
            and want.get("base", pull["base"]["ref"]) == pull["base"]["ref"]
        ]
    )


@on("POST", "/pulls", 201)
def _(hub: Hub, ask: Request) -> Any:
    title, head, base = ask.need("title"), ask.need("head"), ask.need("base")
    if ask.login == BOT and not hub.permissions["can_approve_pull_request_reviews"]:
        raise No(403, "GitHub Actions is not permitted to create or approve pull requests.")
    label = head if ":" in head else f"{hub.owner}:{head}"
    for pull in hub.pulls:
        there = (pull["state"], pull["head"]["label"], pull["base"]["ref"])
        if there == ("open", label, base):
            raise No(422, "Validation Failed", message=f"A pull request exists for {label}.")
    head = label.partition(":")[2]
    more = {**ask.some(draft=False), "user": hub.person(ask.login)}
    hub.open(title, ask.body.get("body"), head, base, **more)
    return hub.pulls[-1]


@on("GET", "/pulls/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    return found(hub.pulls, number=number)


@on("PATCH", "/pulls/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    pull = found(hub.pulls, number=number)
    pull |= {k: v for k, v in ask.body.items() if k in ("title", "body", "state")}
    pull["closed_at"] = None if pull["state"] == "open" else pull["closed_at"] or WHEN
    pull["base"]["ref"] = ask.body.get("base", pull["base"]["ref"])
    return pull


@on("GET", "/pulls/#/reviews")
def _(hub: Hub, ask: Request, number: int) -> Any:
    found(hub.pulls, number=number)
    return Paged(hub.reviews.get(number, []))


@on("GET", "/commits/{}")
def _(hub: Hub, ask: Request, sha: str) -> Any:
    who = hub.person(hub.committers[sha]) if sha in hub.committers else None
    return {"sha": sha, "author": who, "committer": who}


@on("GET", "/actions/variables/{}")
def _(hub: Hub, ask: Request, name: str) -> Any:
    if name not in hub.variables:
        raise No(404, "Not Found")
    times = {"created_at": WHEN, "updated_at": WHEN}
    return {"name": name, "value": hub.variables[name], **times}


@on("POST", "/actions/variables", 201)
def _(hub: Hub, ask: Request) -> Any:
    if ask.need("name") in hub.variables:
        raise No(409, "Already exists")
    hub.variables[ask.need("name")] = ask.need("value")
    return {}


@on("PATCH", "/actions/variables/{}")
def _(hub: Hub, ask: Request, name: str) -> Any:
    if name not in hub.variables:
        raise No(404, "Not Found")
    hub.variables[name] = ask.need("value")


@on("GET", "//apps/{}")
def _(hub: Hub, ask: Request, slug: str) -> Any:
    if slug not in hub.apps:
        raise No(404, "Not Found")
    return {"id": hub.apps[slug], "slug": slug, "name": slug}


@on("GET", "/commits/{}/pulls")
def _(hub: Hub, ask: Request, sha: str) -> Any:
    numbers = hub.commit_pulls.get(sha)
    if numbers is None:
        return _listed(
            [p for p in hub.pulls if sha in (p["head"]["sha"], p.get("merge_commit_sha"))]
        )
    return _listed([pull for pull in hub.pulls if pull["number"] in numbers])


@on("GET", "/issues")
def _(hub: Hub, ask: Request) -> Any:
    state, who = ask.query.get("state", "open"), ask.query.get("creator")
    return Paged(
        [
            issue
            for issue in hub.issues
            if state in (issue["state"], "all") and who in (None, issue["user"]["login"])
        ]
    )


@on("POST", "/issues", 201)
def _(hub: Hub, ask: Request) -> Any:
    number = hub.next()
    made = {"id": number, "number": number, "title": ask.need("title"), "state": "open"}
    page = f"{hub.page}/issues/{number}"
    shown = {**ask.some(body=None), "html_url": page, "user": hub.person(ask.login)}
    hub.issues.append({**made, **shown})
    return hub.issues[-1]


@on("PATCH", "/issues/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    issue = found(hub.issues, number=number)
    issue |= {k: v for k, v in ask.body.items() if k in ("title", "body", "state")}
    return issue


@on("GET", "/installation")
def _(hub: Hub, ask: Request) -> Any:
    if hub.installation is None:
        raise No(404, "Not Found")
    return {"id": hub.installation}


@on("POST", "//app/installations/#/access_tokens", 201)
def _(hub: Hub, ask: Request, number: int) -> Any:
    if number != hub.installation:
        raise No(404, "Not Found")
    return {"token": hub.app_token, "expires_at": WHEN}


@on("GET", "/issues/#/comments")
def _(hub: Hub, ask: Request, number: int) -> Any:
    return Paged([c for c in hub.comments if c["issue_url"].endswith(f"/{number}")])


@on("POST", "/issues/#/comments", 201)
def _(hub: Hub, ask: Request, number: int) -> Any:
    made = {"id": hub.next(), "body": ask.need("body"), "user": hub.person(ask.login)}
    issue = f"https://api.github.com/repos/{hub.slug}/issues/{number}"
    page = f"{hub.page}/pull/{number}#issuecomment-{made['id']}"
    hub.comments.append({**made, "issue_url": issue, "html_url": page})
    return hub.comments[-1]


@on("PATCH", "/issues/comments/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    comment = found(hub.comments, id=number)
    comment["body"] = ask.need("body")
    return comment


@on("GET", "/releases")
def _(hub: Hub, ask: Request) -> Any:
    return Paged(hub.releases[::-1])


@on("GET", "/releases/latest")
def _(hub: Hub, ask: Request) -> Any:
    return found(hub.releases[::-1], draft=False, prerelease=False)


@on("GET", "/releases/tags/*")
def _(hub: Hub, ask: Request, tag: str) -> Any:
    return found(hub.releases, tag_name=tag, draft=False)


@on("POST", "/releases", 201)
def _(hub: Hub, ask: Request) -> Any:
    tag = ask.need("tag_name")
    if any(release["tag_name"] == tag for release in hub.releases):
        error = {"resource": "Release", "code": "already_exists", "field": "tag_name"}
        raise No(422, "Validation Failed", **error)
    shown = ask.some(name=None, body=None, draft=False, prerelease=False, target_commitish="main")
    page = f"{hub.page}/releases/tag/{tag}"
    made = {"id": hub.next(), "tag_name": tag, **shown, "html_url": page}
    when = None if made["draft"] else WHEN
    hub.releases.append({**made, "author": hub.person(ask.login), "published_at": when})
    return hub.releases[-1]


@on("PATCH", "/releases/#")
def _(hub: Hub, ask: Request, number: int) -> Any:
    release = found(hub.releases, id=number)
    release |= {k: v for k, v in ask.body.items() if k in release}
    release["published_at"] = None if release["draft"] else release["published_at"] or WHEN
    return release


@on("GET", "/deployments")
def _(hub: Hub, ask: Request) -> Any:
    want = {k: v for k, v in ask.query.items() if k in ("environment", "ref", "task", "sha")}
    return Paged([d for d in hub.deployments[::-1] if want.items() <= d.items()])


@on("POST", "/deployments", 201)
def _(hub: Hub, ask: Request) -> Any:
    made = {"ref": ask.need("ref"), "sha": hub.head_sha(ask.need("ref"))}
    made |= ask.some(task="deploy", environment="production", payload="", description=None)
    hub.deployments.append({"id": hub.next(), **made, "creator": hub.person(ask.login)})
    return hub.deployments[-1]


_STATUSES = "/deployments/#/statuses"


@on("GET", _STATUSES)
def _(hub: Hub, ask: Request, number: int) -> Any:
    found(hub.deployments, id=number)
    return Paged(hub.statuses.get(number, [])[::-1])


@on("POST", _STATUSES, 201)
def _(hub: Hub, ask: Request, number: int) -> Any:
    environment = found(hub.deployments, id=number)["environment"]
    made = {"id": hub.next(), "state": ask.need("state"), "creator": hub.person(ask.login)}
    made |= ask.some(description="", environment=environment, log_url="", environment_url="")
    hub.statuses.setdefault(number, []).append({**made, "target_url": made["log_url"]})
    return hub.statuses[number][-1]
