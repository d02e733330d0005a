"""What happens next to a version, decided from plain data: a table a rule, without Git."""

from __future__ import annotations

from typing import Any

import pytest

from gatewright.errors import Refused
from gatewright.registry.records import EnvironmentRecord
from gatewright.release import rules
from gatewright.release.rules import (
    Approved,
    BackAlready,
    ByPullRequest,
    DoneBefore,
    LiveAlready,
    No,
    NotAsked,
    Promote,
    Reason,
    RegisteredBefore,
    Retire,
    RetiredBefore,
    RollBack,
)

WALK = ("dev", "staging", "production")


def event(
    action: Any,
    version: str,
    model: str = "m",
    previous: str | None = None,
    run: str | None = None,
) -> EnvironmentRecord:
    return EnvironmentRecord(
        "dev", version, action, "2026-01-01", "", run, None, None, previous, model, {}
    )


def decided(decision: Any) -> Any:
    """The decision, of a No its reason."""
    return decision.reason if isinstance(decision, No) else decision


STAGED = [event("promote", "1.0.0"), event("promote", "1.1.0")]
PROMOTIONS: dict[str, tuple[str, list[EnvironmentRecord], str | None, Any]] = {
    "the first environment asks for none before": ("dev", [], None, Promote("dev")),
    "after the one before": ("staging", STAGED, "1.0.0", Promote("dev")),
    "the last": ("production", STAGED, None, Promote("staging")),
    "it skips one": ("production", STAGED[:1], "1.0.0", Reason.SKIPS_AN_ENVIRONMENT),
    "other bytes were there": (
        "staging",
        [event("promote", "1.1.0", "other")],
        None,
        Reason.SKIPS_AN_ENVIRONMENT,
    ),
    "live already": ("staging", STAGED, "1.1.0", LiveAlready()),
    "a newer one is live": ("staging", STAGED, "1.10.0", Reason.NEWER_IS_LIVE),
    "live, but it never was before": ("staging", [], "1.1.0", Reason.SKIPS_AN_ENVIRONMENT),
}


@pytest.mark.parametrize(
    ("environment", "before", "live", "said"), PROMOTIONS.values(), ids=PROMOTIONS.keys()
)
def test_a_promotion(
    environment: str, before: list[EnvironmentRecord], live: str | None, said: Any
) -> None:
    assert decided(rules.promotion("1.1.0", "m", environment, WALK, before, live)) == said


APPROVALS: dict[str, tuple[dict[str, Any], Any]] = {
    "nobody asks": ({"asked": False}, NotAsked()),
    "nobody asks, on a laptop": ({"asked": False, "run": None}, NotAsked()),
    "approved": ({"approver": "ada"}, Approved("ada")),
    "approved, and it might be proposed": ({"approver": "ada", "propose": True}, Approved("ada")),
    "on a laptop": ({"run": None, "approver": "ada"}, Reason.NOT_ON_GITHUB),
    "on a laptop, proposed": ({"run": None, "propose": True}, Reason.NOT_ON_GITHUB),
    "by nobody": ({}, Reason.NOT_APPROVED),
    "by nobody, proposed": (
        {"propose": True},
        ByPullRequest("nobody approved run 7 for production: it has no required reviewers"),
    ),
    "what is live was slipped in": (
        {"approver": "ada", "unapproved": "its record names no run"},
        Reason.LIVE_UNAPPROVED,
    ),
    "what is live was slipped in, proposed": (
        {"approver": "ada", "unapproved": "its record names no run", "propose": True},
        ByPullRequest("1.0.0 is live in production, but its record names no run"),
    ),
}


@pytest.mark.parametrize(("facts", "said"), APPROVALS.values(), ids=APPROVALS.keys())
def test_an_approval(facts: dict[str, Any], said: Any) -> None:
    plain: dict[str, Any] = {
        "asked": True,
        "run": "7",
        "unapproved": None,
        "approver": None,
        "propose": False,
    }
    assert decided(rules.approval("production", live="1.0.0", **(plain | facts))) == said


def test_what_is_live_already_is_not_called_so_in_doubt() -> None:
    assert rules.still_live("1.0.0", "dev", None) is None
    assert decided(rules.still_live("1.0.0", "dev", "its run is unknown")) is Reason.LIVE_UNAPPROVED


THREE = [event("promote", version) for version in ("1.0.0", "1.1.0", "1.2.0")]
ROLLBACKS: dict[str, tuple[str | None, list[EnvironmentRecord], str | None, set[str], Any]] = {
    "to the one before": ("1.2.0", THREE, None, set(), RollBack("1.1.0")),
    "past what was retired": ("1.2.0", THREE, None, {"1.1.0"}, RollBack("1.0.0")),
    "to an earlier one": ("1.2.0", THREE, "1.0.0", set(), RollBack("1.0.0")),
    "to what is live": ("1.2.0", THREE, "1.2.0", set(), LiveAlready()),
    "to what never was there": ("1.2.0", THREE, "0.9.0", set(), Reason.NEVER_LIVE_HERE),
    "forward": (
        "1.1.0",
        [*THREE, event("roll back", "1.1.0")],
        "1.2.0",
        set(),
        Reason.NEVER_LIVE_HERE,
    ),
    "again, after it is finished": (
        "1.1.0",
        [*THREE, event("roll back", "1.1.0", previous="1.2.0")],
        None,
        set(),
        BackAlready("1.2.0", "1.0.0"),
    ),
    "again, with nothing before": (
        "1.0.0",
        [*THREE[:2], event("roll back", "1.0.0", previous="1.1.0")],
        None,
        set(),
        BackAlready("1.1.0", None),
    ),
    "after a rollback, further back": (
        "1.1.0",
        [*THREE, event("roll back", "1.1.0")],
        "1.0.0",
        set(),
        RollBack("1.0.0"),
    ),
    "after a rollback and a promotion": (
        "1.3.0",
        [*THREE, event("roll back", "1.1.0"), event("promote", "1.3.0")],
        None,
        set(),
        RollBack("1.1.0"),
    ),
    "from the first": ("1.0.0", THREE[:1], None, set(), Reason.NO_WAY_BACK),
    "all retired": ("1.2.0", THREE, None, {"1.0.0", "1.1.0"}, Reason.NO_WAY_BACK),
    "nothing is live": (None, [], None, set(), Reason.NOTHING_IS_LIVE),
    "nothing is live, to one": (None, [], "1.0.0", set(), Reason.NOTHING_IS_LIVE),
}


@pytest.mark.parametrize(
    ("live", "history", "to", "retired", "said"), ROLLBACKS.values(), ids=ROLLBACKS.keys()
)
def test_a_rollback(
    live: str | None, history: list[EnvironmentRecord], to: str | None, retired: set[str], said: Any
) -> None:
    assert decided(rules.rollback("dev", live, history, to, retired)) == said


def test_who_says_what_has_to_go_goes_on_from_there() -> None:
    back = [*THREE, event("roll back", "1.1.0", previous="1.2.0")]
    assert decided(rules.rollback("dev", "1.1.0", back, None, leave="1.1.0")) == RollBack("1.0.0")
    assert decided(rules.rollback("dev", "1.1.0", back, None, leave="1.2.0")) == BackAlready(
        "1.2.0", "1.0.0"
    )


def test_a_run_that_is_tried_again_does_not_undo_what_came_since() -> None:
    since = [*THREE, event("roll back", "1.1.0", run="7"), event("promote", "1.3.0", run="8")]
    for to in (None, "1.0.0"):
        assert rules.rollback("dev", "1.3.0", since, to, run="7") == DoneBefore("1.1.0")
        assert rules.rollback("dev", "1.3.0", since, to, run="8") == RollBack(to or "1.1.0")


def test_a_retirement() -> None:
    live = {"dev": "1.1.0", "staging": "1.0.0", "production": None}
    assert rules.retirement("0.9.0", False, live) == Retire()
    assert decided(rules.retirement("1.0.0", False, live)) is Reason.IS_LIVE
    assert rules.retirement("1.0.0", True, live) == RetiredBefore()


def test_a_registration() -> None:
    assert rules.registration(None) == rules.Register()
    assert rules.registration("1.0.0") == RegisteredBefore("1.0.0")


def test_only_what_is_committed_and_fresh_is_registered() -> None:
    assert rules.is_committed("") is None
    assert decided(rules.is_committed(" M params.yaml")) is Reason.NOT_COMMITTED
    assert rules.lock_is_honest([], []) is None
    assert decided(rules.lock_is_honest(["add src/x.py"], ["train"])) is Reason.UNLISTED_CODE
    assert decided(rules.lock_is_honest([], ["train"])) is Reason.STALE_LOCK


@pytest.mark.parametrize(
    ("there", "differing", "before", "in_workflow", "passes"),
    [
        (True, [], False, False, True),
        (True, [], True, True, True),
        (True, ["gates.yaml"], True, True, True),
        (True, ["gates.yaml"], True, False, False),
        (True, ["gates.yaml"], False, True, False),
        (False, [], False, True, False),
    ],
)
def test_what_judges_was_merged(
    there: bool, differing: list[str], before: bool, in_workflow: bool, passes: bool
) -> None:
    no = rules.judges_are_merged(there, differing, before, in_workflow)
    assert (no is None) == passes
    assert no is None or no.reason == rules.Reason.NOT_MERGED


def test_a_no_is_a_refusal_in_its_own_words() -> None:
    refusal = rules.refused(No(Reason.NO_WAY_BACK, "there is no way back."))
    assert (type(refusal), str(refusal)) == (Refused, "there is no way back.")
