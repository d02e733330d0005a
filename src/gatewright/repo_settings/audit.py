"""`mlops doctor`: what protects this repository, here and on GitHub.

Everything is asked for, nothing is believed: what cannot be seen counts as not protected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gatewright.adapters.deploy_key import KEY
from gatewright.adapters.git import Git
from gatewright.adapters.github import GitHub, Missing
from gatewright.adapters.signing import KEY as SIGNING
from gatewright.adapters.signing import SIGNERS, signers
from gatewright.errors import Refused, Undecided
from gatewright.gate import policy
from gatewright.registry.git_registry import BRANCH, Registry
from gatewright.release.approval import doubt
from gatewright.release.github_release import PROPOSALS
from gatewright.release.promotion import Release
from gatewright.repo_settings import desired as wanted

State = Literal["good", "note", "bad"]
CHECKS = ("ci", "model-gate", "security")
GUARDED = (
    *("/.github/", "/gates.yaml", "/vendor/", "/uv.lock", "/model-types.txt", "/security/"),
    "/data/",
)
_USES = re.compile(r"uses:\s*([\w.-]+/[\w.-]+)(?:/[\w./-]+)?@(\S+)(?:\s*#\s*(\S+))?")


@dataclass(frozen=True)
class Row:
    """One thing that protects, or does not."""

    state: State
    subject: str
    words: str


def examine(root: Path) -> list[Row]:
    """All that can be said; a question that fails is an answer too."""
    github = GitHub.of(root)
    rows = [*_answer("policy", lambda: _policy(root)), *_answer("owners", lambda: _owners(root))]
    rows += _answer("protection", lambda: _protection(root))
    rows += _answer("pins", lambda: _pins(root, github))
    if Git(root).has_remote():
        rows += _answer("registry", lambda: _records(root))
    if github is None:
        words = "origin is no GitHub repository: whoever can push can promote"
        return [*rows, Row("bad", "GitHub", words)]
    try:
        default = str(github.get("")["default_branch"])
    except Undecided:
        raise
    except Refused as error:
        return [*rows, Row("bad", "GitHub", str(error))]
    questions: list[tuple[str, Callable[[], Iterator[Row]]]] = [
        ("default branch", lambda: _default_branch(github, default)),
        ("registry", lambda: _registry(github)),
        ("tags", lambda: _rulesets(github)),
        ("environments", lambda: _environments(root, github)),
        ("secrets", lambda: _secrets(root, github)),
        ("workflow token", lambda: _token(github)),
        ("workflows", lambda: _workflows(root, github)),
        ("what is live", lambda: _live(root, github)),
    ]
    for subject, question in questions:
        rows += _answer(subject, question)
    return rows


def _answer(subject: str, question: Callable[[], Iterator[Row]]) -> list[Row]:
    rows: list[Row] = []
    try:
        rows += question()
    except Undecided:
        raise
    except Refused as error:
        rows.append(Row("bad", subject, f"cannot be seen: {error}"))
    return rows


def _policy(root: Path) -> Iterator[Row]:
    for name in policy.environments(root):
        if policy.read_policy(root, name).approval:
            yield Row("good", f"approval of {name}", "gates.yaml asks for it")
    if not policy.read_policy(root, policy.environments(root)[-1]).approval:
        last = policy.environments(root)[-1]
        yield Row("bad", f"approval of {last}", f"gates.yaml lets {last} be entered unapproved")


def _protection(root: Path) -> Iterator[Row]:
    """Whether versions are signed, and whether the last environment asks for it."""
    last, keys = policy.environments(root)[-1], len(signers(root))
    demanded = policy.read_policy(root, last).protection
    if demanded:
        words = f"{last} demands of every version: {', '.join(demanded)}"
        missing = "signature" in demanded and not keys
        yield Row("bad" if missing else "good", "protection", words)
    else:
        words = f"{last} demands no signature (`protection` in gates.yaml)"
        yield Row("note", "protection", words)
    words = f"{keys} keys may sign versions" if keys else "no key signs versions: "
    words += "" if keys else "`mlops github apply --yes` makes one"
    yield Row("good" if keys else "note", str(SIGNERS), words)


def _owners(root: Path) -> Iterator[Row]:
    text = (root / wanted.OWNERS).read_text() if (root / wanted.OWNERS).exists() else ""
    alone = [path for path in GUARDED if not wanted.owners(text, path.removeprefix("/"))]
    if alone:
        yield Row("bad", "owners", f"CODEOWNERS names nobody for {', '.join(alone)}")
    else:
        yield Row("good", "owners", "CODEOWNERS names somebody for policy, library and data")


def _pins(root: Path, github: GitHub | None) -> Iterator[Row]:
    """Actions by commit, with the version that it is; stale where a newer release is out."""
    used: dict[str, str | None] = {}
    loose = []
    for path in sorted((root / ".github").rglob("*.yml")):
        for name, ref, version in _USES.findall(path.read_text(encoding="utf-8")):
            used[name] = version
            if not re.fullmatch(r"[0-9a-f]{40}", ref):
                loose.append(f"{name}@{ref} in {path.name}")
    if loose:
        yield Row("bad", "pins", f"not pinned to a commit: {', '.join(loose)}")
    else:
        yield Row("good", "pins", f"{len(used)} actions, each pinned to a commit")
    if github is None or github.host != "github.com":
        return
    for name, version in sorted(used.items()):
        newest = github.find(f"/repos/{name}/releases/latest")
        if newest and version and str(newest["tag_name"]) != version:
            words = f"{name} is {version}, the newest is {newest['tag_name']}"
            yield Row("note", "pins", f"stale: {words}")


def _records(root: Path) -> Iterator[Row]:
    """Whether the registry holds together, and the storage has what is live, byte for byte."""
    release = Release(root)
    with release.git.alone():
        registry = release.fetched()
        broken = yield from _events(registry)
        whole = 0
        for version in registry.versions:
            if f"versions/{version}.yaml" in broken:
                continue
            try:
                registry.version(version)
                whole += 1
            except Refused as error:
                yield Row("bad", f"version {version}", str(error))
        if whole:
            yield Row("good", "registry", f"{whole} versions are as they were registered")
        for name in release.order:
            if f"environments/{name}.yaml" in broken:
                continue
            try:
                if (live := registry.live(name)) is None:
                    continue
                record = registry.version(live.version)
                if live.model != record.model:
                    words = f"its record names another model than that of {live.version}"
                    yield Row("bad", f"live in {name}", words)
                release.storage.verify(record.stored, name)
                words = f"{live.version}: {len(record.files)} files are whole"
                yield Row("good", f"live in {name}", words)
            except Undecided:
                raise
            except Refused as error:
                yield Row("bad", f"live in {name}", str(error))


def _events(registry: Registry) -> Generator[Row, None, set[str]]:
    """The events that no command wrote; the files that are still as one of them left them."""
    told = registry.told()
    now = {each.event.path: each for each in told}
    broken = {path for path, each in now.items() if each.state == "passed over"}
    for each in told:
        path, commit = each.event.path, each.event.commit[:12]
        if each.state != "passed over":
            continue
        if path not in broken:
            words = f"{path} was mended; commit {commit} is passed over: {each.why}"
            yield Row("note", "registry", words)
        elif each is now[path]:
            yield Row("bad", "registry", registry.complaint(each))
    return broken


def _default_branch(github: GitHub, branch: str) -> Iterator[Row]:
    rules = _rules(github, branch)
    checks = {
        check["context"]
        for rule in rules.get("required_status_checks", ())
        for check in rule["parameters"]["required_status_checks"]
    }
    yield _row(set(CHECKS) <= checks, branch, f"requires the checks {', '.join(CHECKS)}")
    reviews = [
        rule["parameters"]
        for rule in rules.get("pull_request", ())
        if rule["parameters"]["required_approving_review_count"] > 0
    ]
    yield _row(bool(reviews), branch, "is changed by reviewed pull requests only")
    owned = any(rule["require_code_owner_review"] for rule in reviews)
    yield _row(owned, branch, "asks the owners of what changes (CODEOWNERS)")
    kept = {"deletion", "non_fast_forward"} <= set(rules)
    yield _row(kept, branch, "cannot be deleted or rewritten")


def _registry(github: GitHub) -> Iterator[Row]:
    for branch in (BRANCH, "dvc-storage"):
        rules = _rules(github, branch)
        kept = {"deletion", "non_fast_forward"} <= set(rules)
        yield _row(kept, branch, "cannot be deleted or rewritten")
        if branch == BRANCH:
            closed = bool({"pull_request", "update"} & set(rules))
            yield _row(closed, branch, "is closed to pushes by hand")
    closed = {"creation", "update"} <= set(_rules(github, f"{PROPOSALS}{BRANCH}"))
    yield _row(closed, "proposals", "are written by the registry's key only")


def _rulesets(github: GitHub) -> Iterator[Row]:
    """Tags, which have no list of rules of their own, and who may pass rules by."""
    guarded: set[str] = set()
    for listed in github.every("rulesets"):
        ruleset = github.get(f"rulesets/{listed['id']}")
        if ruleset["enforcement"] != "active":
            continue
        names = ((ruleset.get("conditions") or {}).get("ref_name") or {}).get("include", ())
        if ruleset["target"] == "tag" and {"refs/tags/v*", "~ALL"} & set(names):
            guarded |= {rule["type"] for rule in ruleset["rules"]}
        if "bypass_actors" not in ruleset:
            words = "who may pass it by cannot be seen with this token"
            yield Row("note", f"ruleset {ruleset['name']}", words)
        for actor in ruleset.get("bypass_actors") or ():
            who = actor["actor_type"] + (f" {actor['actor_id']}" if actor["actor_id"] else "")
            words = f"{who} may pass it by ({actor['bypass_mode']})"
            yield Row("note", f"ruleset {ruleset['name']}", words)
    yield _row({"update", "deletion"} <= guarded, "tags v*", "cannot be moved or deleted")
    yield _row("creation" in guarded, "tags v*", "are made by the registry's key only")


def _environments(root: Path, github: GitHub) -> Iterator[Row]:
    for name in policy.environments(root):
        there = github.find(f"environments/{name}")
        subject = f"environment {name}"
        if there is None:
            yield Row("bad", subject, "is not there, so it protects nothing")
            continue
        rules = {rule["type"]: rule for rule in there.get("protection_rules") or ()}
        limited = there.get("deployment_branch_policy") is not None
        yield _row(limited, subject, "lets in jobs of chosen branches only")
        if not policy.read_policy(root, name).approval:
            continue
        rule = rules.get("required_reviewers")
        if not rule or not rule["reviewers"]:
            words = "has no required reviewers: promotions become pull requests to registry"
            yield Row("note", subject, words)
            continue
        who = ", ".join(
            str(r["reviewer"].get("login") or r["reviewer"].get("slug")) for r in rule["reviewers"]
        )
        yield Row("good", subject, f"asks {who} to approve")
        yield _row(bool(rule.get("prevent_self_review")), subject, "asks a second person")
        if there.get("can_admins_bypass"):
            yield Row("note", subject, "administrators may pass its rules by")


def _secrets(root: Path, github: GitHub) -> Iterator[Row]:
    common = {secret["name"] for secret in github.every("actions/secrets", "secrets")}
    for name in sorted(common & {KEY, SIGNING}):
        words = f"{name} is a secret of the repository: every job holds it; make it one of "
        yield Row("bad", "secrets", words + "the environments with `mlops github apply --yes`")
    for name in sorted(common - {KEY, SIGNING, "STORAGE_KEY"}):
        yield Row("note", "secrets", f"{name} is a secret of the repository: every job holds it")
    lacking = []
    for name in policy.environments(root):
        try:
            held = github.every(f"environments/{name}/secrets", "secrets")
        except Missing:
            held = []
        if KEY not in {secret["name"] for secret in held}:
            lacking.append(name)
    if lacking:
        words = f"{', '.join(lacking)} hold no {KEY}, so nothing can be promoted there once "
        yield Row("bad", "secrets", words + "the registry is closed: `mlops github apply --yes`")
    else:
        yield Row("good", "secrets", f"every environment holds its {KEY}")


def _token(github: GitHub) -> Iterator[Row]:
    there = github.get("actions/permissions/workflow")
    read = there["default_workflow_permissions"] == "read"
    yield _row(read, "workflow token", "may only read unless a job asks for more")
    opens = bool(there["can_approve_pull_request_reviews"])
    yield _row(opens, "workflow token", "may open the pull request of a promotion")


def _workflows(root: Path, github: GitHub) -> Iterator[Row]:
    """Whether GitHub runs them: it stops the weekly ones where nobody commits for 60 days.

    https://docs.github.com/en/rest/actions/workflows#list-repository-workflows
    """
    listed = github.every("actions/workflows", "workflows")
    states = {str(workflow["path"]): str(workflow["state"]) for workflow in listed}
    paths = sorted((root / ".github/workflows").glob("*.yml"))
    stopped = 0
    for path in paths:
        state = states.get(f".github/workflows/{path.name}")
        if state == "active":
            continue
        stopped += 1
        if state is None:
            words = f"GitHub does not know {path.name}: push it to the default branch"
        else:
            words = f"{path.name} does not run ({state}): `gh workflow enable {path.name}`"
        yield Row("bad", "workflows", words)
    if not stopped:
        yield Row("good", "workflows", f"{len(paths)} workflows run")


def _live(root: Path, github: GitHub) -> Iterator[Row]:
    registry = Registry(root).fetch()
    for name in policy.environments(root):
        live = registry.live(name)
        if live is None or not policy.read_policy(root, name).approval:
            continue
        why = doubt(github, registry, name)
        words = f"{live.version} was approved by {live.approved_by}, as GitHub remembers"
        yield Row("bad" if why else "good", f"live in {name}", why or words)


def _rules(github: GitHub, branch: str) -> dict[str, list[dict[str, Any]]]:
    """The rules in force for a branch, by type, wherever they come from."""
    rules: dict[str, list[dict[str, Any]]] = {}
    for rule in github.every(f"rules/branches/{branch}"):
        rules.setdefault(rule["type"], []).append(rule)
    return rules


def _row(good: bool, subject: str, words: str) -> Row:
    return Row("good" if good else "bad", subject, words if good else f"does not hold: {words}")
