"""What GitHub answers, by plan and organisation: one table of facts, each with its source.

The small GitHub of the tests answers by this table and by nothing else, so a reader can hold it
against GitHub in ten minutes; `scripts/rehearse_on_github.py` holds it against the real one.
`docs/github.md` is made from walks over every row.
"""

from __future__ import annotations

from dataclasses import dataclass

DOCS = "https://docs.github.com/en"


@dataclass(frozen=True)
class Fact:
    """What is not everywhere: the request that tells, and the answer where it is not to be had."""

    asks: str
    status: int
    message: str
    source: str
    detail: str = ""  # where GitHub puts the words into `errors`


FACTS: dict[str, Fact] = {
    "rulesets": Fact(
        "GET and POST rulesets, GET rules/branches/BRANCH",
        403,
        "Upgrade to GitHub Pro or make this repository public to enable this feature.",
        f"{DOCS}/repositories/configuring-branches-and-merges-in-your-repository/"
        "managing-rulesets/about-rulesets",
    ),
    "reviewers": Fact(
        "PUT environments/NAME that names wait_timer, reviewers or prevent_self_review",
        422,
        "Failed to create the environment protection rule. Please ensure the billing plan supports "
        "the required reviewers protection rule.",
        "https://github.com/alchemy-run/alchemy/pull/1373, "
        "https://github.com/backstage/backstage/issues/28977",
    ),
    "branches": Fact(
        "PUT environments/NAME with deployment_branch_policy",
        422,
        "Fail to create protected rule, please ensure billing plan include protected branch gate.",
        "https://github.com/integrations/terraform-provider-github/issues/1311, "
        f"{DOCS}/actions/reference/workflows-and-actions/deployments-and-environments",
    ),
    "deploy keys": Fact(
        "POST keys",
        422,
        "Validation Failed",
        "https://github.com/vitodeploy/vito/issues/949, "
        f"{DOCS}/organizations/managing-organization-settings/"
        "restricting-deploy-keys-in-your-organization",
        "Deploy keys are disabled for this repository",
    ),
    "pull requests by Actions": Fact(
        "PUT actions/permissions/workflow with can_approve_pull_request_reviews: true",
        409,
        "Conflict",
        f"{DOCS}/rest/actions/permissions#set-default-workflow-permissions-for-a-repository",
    ),
    "organisation rulesets": Fact(
        "GET and POST /orgs/ORG/rulesets",
        403,
        "Upgrade to GitHub Team to enable this feature.",
        f"{DOCS}/organizations/managing-organization-settings/"
        "creating-rulesets-for-repositories-in-your-organization",
    ),
}


@dataclass(frozen=True)
class Plan:
    """One kind of repository, as a maintainer would name it, and what it lacks."""

    name: str
    private: bool
    owner_type: str
    lacks: frozenset[str] = frozenset()
    app: bool = False  # a GitHub App takes the deploy key's place
    alone: bool = False  # one maintainer: `approval: []` in gates.yaml


_USER, _ORGANISATION = "User", "Organization"
PLANS: dict[str, Plan] = {
    "public-free": Plan("public, Free", False, _ORGANISATION, frozenset({"organisation rulesets"})),
    "public-personal": Plan(
        "public, of a person", False, _USER, frozenset({"organisation rulesets"})
    ),
    "private-free": Plan(
        "private, Free",
        True,
        _ORGANISATION,
        frozenset({"rulesets", "reviewers", "branches", "organisation rulesets"}),
    ),
    "private-pro": Plan(
        "private, Pro", True, _USER, frozenset({"reviewers", "organisation rulesets"})
    ),
    "private-team": Plan("private, Team", True, _ORGANISATION, frozenset({"reviewers"})),
    "private-enterprise": Plan("private, Enterprise", True, _ORGANISATION),
    "new-organisation": Plan(
        "public, a new organisation",
        False,
        _ORGANISATION,
        frozenset({"deploy keys", "pull requests by Actions", "organisation rulesets"}),
    ),
    "new-team": Plan(
        "private, Team, a new organisation",
        True,
        _ORGANISATION,
        frozenset({"reviewers", "deploy keys", "pull requests by Actions"}),
    ),
    "new-team-app": Plan(
        "private, Team, a new organisation, with a GitHub App",
        True,
        _ORGANISATION,
        frozenset({"reviewers", "deploy keys", "pull requests by Actions"}),
        app=True,
    ),
    "alone": Plan(
        "public, of a person who works alone",
        False,
        _USER,
        frozenset({"organisation rulesets"}),
        alone=True,
    ),
}
