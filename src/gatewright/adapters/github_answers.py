"""GitHub's answers, as far as they are used. Fields that are not named here are passed over.

https://docs.github.com/en/rest, version 2022-11-28
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Named:
    """A secret, or an environment of an approval."""

    name: str


@dataclass(frozen=True)
class Account:
    """A person, a bot or an organisation."""

    login: str
    id: int = 0
    type: str = "User"

    @property
    def is_person(self) -> bool:
        return self.type == "User"


@dataclass(frozen=True)
class App:
    """A GitHub App."""

    id: int


@dataclass(frozen=True)
class Variable:
    """A variable of the repository."""

    value: str


@dataclass(frozen=True)
class Team:
    id: int


@dataclass(frozen=True)
class Repository:
    default_branch: str
    full_name: str = ""
    private: bool = False
    id: int = 0


@dataclass(frozen=True)
class Page:
    """Something that was made, and where people see it."""

    html_url: str


@dataclass(frozen=True)
class Made:
    """Something that was made, and its number."""

    id: int


@dataclass(frozen=True)
class Run:
    """A run of a workflow. `path` is the workflow's file."""

    path: str
    head_branch: str | None
    id: int = 0
    head_sha: str | None = None
    display_title: str | None = None
    actor: Account | None = None
    triggering_actor: Account | None = None

    @property
    def workflow(self) -> str:
        """The name of its file."""
        return self.path.partition("@")[0].removeprefix(".github/workflows/")

    @property
    def started_by(self) -> frozenset[str]:
        """Who started it, first and again."""
        return frozenset(who.login for who in (self.actor, self.triggering_actor) if who)


@dataclass(frozen=True)
class Approval:
    """What somebody said of a run that waited for it."""

    state: str
    user: Account
    environments: tuple[Named, ...]


@dataclass(frozen=True)
class Home:
    """The repository that a branch is in."""

    full_name: str


@dataclass(frozen=True)
class PendingDeployment:
    """An environment that a run waits for."""

    environment: Named


@dataclass(frozen=True)
class Issue:
    number: int
    title: str
    html_url: str


@dataclass(frozen=True)
class AppToken:
    """What a GitHub App may ask with."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class Branch:
    ref: str
    sha: str = ""
    repo: Home | None = None


@dataclass(frozen=True)
class Pull:
    """A pull request. Lists say neither that it was merged nor what it holds; ask for the one."""

    number: int
    base: Branch
    head: Branch
    user: Account
    merged: bool = False
    merge_commit_sha: str | None = None
    commits: int = 0
    changed_files: int = 0

    @property
    def holds(self) -> frozenset[str | None]:
        """The commits that a single one can have become."""
        return frozenset((self.head.sha, self.merge_commit_sha))


@dataclass(frozen=True)
class Review:
    """What somebody said of one commit of a pull request."""

    state: str
    user: Account | None
    commit_id: str | None = None


@dataclass(frozen=True)
class Commit:
    """The accounts that its author and committer belong to, as far as GitHub knows."""

    author: Account | None = None
    committer: Account | None = None


@dataclass(frozen=True)
class Comment:
    id: int
    user: Account
    body: str | None = None


@dataclass(frozen=True)
class Release:
    tag_name: str
    id: int = 0


@dataclass(frozen=True)
class Deployment:
    id: int
    payload: Any = None


@dataclass(frozen=True)
class DeploymentStatus:
    state: str


@dataclass(frozen=True)
class Meta:
    """What GitHub says of itself."""

    ssh_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    type: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Actor:
    """Who may pass a ruleset by."""

    actor_type: str
    bypass_mode: str
    actor_id: int | None = None


@dataclass(frozen=True)
class ListedRuleset:
    id: int
    name: str


@dataclass(frozen=True)
class Ruleset:
    """`bypass_actors` is None where the token may not see them."""

    name: str
    target: str
    enforcement: str
    rules: tuple[Rule, ...] = ()
    conditions: dict[str, Any] | None = None
    bypass_actors: tuple[Actor, ...] | None = None

    @property
    def includes(self) -> tuple[str, ...]:
        """The patterns of the references that it is for."""
        return tuple(((self.conditions or {}).get("ref_name") or {}).get("include", ()))


@dataclass(frozen=True)
class ReviewerAccount:
    """A person has a login, a team a slug."""

    id: int
    login: str | None = None
    slug: str | None = None


@dataclass(frozen=True)
class Reviewer:
    type: str
    reviewer: ReviewerAccount


@dataclass(frozen=True)
class ProtectionRule:
    """A rule of an environment."""

    type: str
    reviewers: tuple[Reviewer, ...] = ()
    prevent_self_review: bool = False


@dataclass(frozen=True)
class BranchPolicy:
    custom_branch_policies: bool


@dataclass(frozen=True)
class Environment:
    """`deployment_branch_policy` is None where jobs of every branch are let in."""

    protection_rules: tuple[ProtectionRule, ...] | None = None
    deployment_branch_policy: BranchPolicy | None = None
    can_admins_bypass: bool = False

    @property
    def reviewers(self) -> ProtectionRule | None:
        """The rule that asks somebody to approve, if there is one."""
        rules = self.protection_rules or ()
        return next((rule for rule in rules if rule.type == "required_reviewers"), None)

    @property
    def chooses_branches(self) -> bool:
        policy = self.deployment_branch_policy
        return policy is not None and policy.custom_branch_policies


@dataclass(frozen=True)
class BranchPattern:
    id: int
    name: str


@dataclass(frozen=True)
class WorkflowPermissions:
    default_workflow_permissions: str
    can_approve_pull_request_reviews: bool


@dataclass(frozen=True)
class Workflow:
    path: str
    state: str


@dataclass(frozen=True)
class OwnersError:
    """A line of CODEOWNERS that GitHub cannot follow."""

    line: int
    path: str
    message: str


@dataclass(frozen=True)
class OwnersErrors:
    errors: tuple[OwnersError, ...] = ()


@dataclass(frozen=True)
class DeployKey:
    id: int
    title: str


@dataclass(frozen=True)
class PublicKey:
    """The key with which a secret is sealed."""

    key: str
    key_id: str
