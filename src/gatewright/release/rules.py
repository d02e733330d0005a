"""What happens next to a version: decided from plain data, without asking anybody.

Each rule takes what the registry, the policy and GitHub say, and returns one typed decision. `No`
carries a reason to branch on and the message that a person reads; the commands turn it into a
refusal.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gatewright.errors import Refused
from gatewright.registry.event_log import live_versions
from gatewright.registry.records import EnvironmentRecord, Record, order

BY_PULL_REQUEST = "pull request"  # as the approver of a promotion that a merge lets in
ADVICE = "`uv run mlops doctor` says what protects this repository."


class Reason(StrEnum):
    """Why not."""

    NOT_COMMITTED = "the work tree has changes that are not committed"
    NOT_MERGED = "what judges here is not what the default branch holds"
    UNLISTED_CODE = "unlisted code"
    STALE_LOCK = "the pipeline would give something else"
    OVERTAKES = "a newer merge is a version already"
    NOT_REPRODUCED = "the model does not follow from its data and code"
    SKIPS_AN_ENVIRONMENT = "the version was never in the environment before"
    NEWER_IS_LIVE = "a newer version is live"
    NOTHING_IS_LIVE = "nothing is live"
    NEVER_LIVE_HERE = "the version was not live there before"
    NO_WAY_BACK = "no earlier version is usable"
    IS_LIVE = "the version is live"
    NOT_ON_GITHUB = "only a run on GitHub can be approved"
    NOT_APPROVED = "nobody approved it"
    LIVE_UNAPPROVED = "what is live was never approved"


@dataclass(frozen=True)
class No:
    """It may not happen."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class RegisteredBefore:
    """The same contract and pipeline are a version already."""

    version: str


@dataclass(frozen=True)
class Register:
    """The committed model becomes a version."""


@dataclass(frozen=True)
class LiveAlready:
    """The environment has the version already."""


@dataclass(frozen=True)
class Promote:
    """The version may be judged; its files are in the storage of `source`."""

    source: str


@dataclass(frozen=True)
class RollBack:
    """The environment goes back to `version`."""

    version: str


@dataclass(frozen=True)
class BackAlready:
    """The last event was a rollback from `left`; `further` is the next version back, if any."""

    left: str | None
    further: str | None


@dataclass(frozen=True)
class DoneBefore:
    """This run of a workflow rolled back to `version` in an earlier attempt."""

    version: str


@dataclass(frozen=True)
class RetiredBefore:
    """The version is retired already."""


@dataclass(frozen=True)
class Retire:
    """The version may be retired."""


@dataclass(frozen=True)
class NotAsked:
    """Nobody has to approve."""


@dataclass(frozen=True)
class Approved:
    """Somebody approved this run."""

    by: str


@dataclass(frozen=True)
class ByPullRequest:
    """A pull request to the registry has to be merged, and why."""

    why: str


def refused(decision: No) -> Refused:
    """The refusal that a decision comes to."""
    return Refused(decision.message)


def is_committed(changes: str) -> No | None:
    """Why the work tree is not the commit at hand; None if it is.

    `changes` are the lines of `git status`.
    """
    if changes:
        return No(
            Reason.NOT_COMMITTED,
            "The work tree has changes that are not committed, so nobody could say what the "
            f"version was made from:\n{changes}\nCommit them and run again.",
        )
    return None


def judges_are_committed(uncommitted: Sequence[str], hidden: Sequence[str]) -> No | None:
    """Why what judges here is not the commit at hand; None if it is.

    `uncommitted` are paths that differ from HEAD, `hidden` files that Git was told not to look at.
    """
    if hidden:
        names = shlex.join(hidden[:5])
        return No(
            Reason.NOT_COMMITTED,
            f"Git was told not to look at {', '.join(hidden[:5])}, so nobody could say what "
            f"decides here. Run `git update-index --no-skip-worktree {names}` and `git "
            f"update-index --no-assume-unchanged {names}`, and run again.",
        )
    if uncommitted:
        return No(
            Reason.NOT_COMMITTED,
            f"{', '.join(uncommitted[:5])} is not what HEAD holds, and only what was committed "
            "decides what goes live. Commit it by a pull request, or take it back with "
            f"`git restore --source HEAD {shlex.join(uncommitted[:5])}`, and run again.",
        )
    return None


def judges_are_merged(
    there: bool, differing: Sequence[str], merged_before: bool, in_workflow: bool
) -> No | None:
    """Why what judges here is not what was merged; None if it is.

    `there` says whether origin has a default branch, `differing` which paths that judge differ
    from it. A workflow may be behind it, as it runs for the commit that was merged when it began:
    `merged_before` says whether HEAD is part of that branch. Elsewhere nobody may choose an older
    policy that was gentler.
    """
    if there and (not differing or (in_workflow and merged_before)):
        return None
    if not there:
        return No(
            Reason.NOT_MERGED,
            "origin has no default branch, so nobody merged what would decide here. Run `git push "
            "origin HEAD:main`, and run again.",
        )
    mend = "`git pull`" if merged_before else "Merge it by a pull request, then `git pull`"
    return No(
        Reason.NOT_MERGED,
        f"{', '.join(differing[:5])} is not what origin's default branch holds, and only what was "
        f"merged decides what goes live. {mend}, and run again.",
    )


def lock_is_honest(unlisted_code: Sequence[str], stale_stages: Sequence[str]) -> No | None:
    """Why the model of the commit at hand was not made from it; None if it was.

    `unlisted_code` is code that stages run and dvc.yaml does not list, with what to add;
    `stale_stages` are those that the pipeline would run.
    """
    if unlisted_code:
        return No(
            Reason.UNLISTED_CODE,
            "dvc.lock cannot be believed, because the model stands on what DVC does not watch: "
            f"{'; '.join(unlisted_code)}. Then `uv run mlops run`, commit, and run again.",
        )
    if stale_stages:
        return No(
            Reason.STALE_LOCK,
            "dvc.lock is not what the pipeline would give: it would run "
            f"{', '.join(stale_stages)}. Run `uv run mlops run`, commit dvc.lock, and run again.",
        )
    return None


def is_reproduced(problems: Sequence[str]) -> No | None:
    """Why the files of the version do not follow from data and code; None if they do."""
    if not problems:
        return None
    return No(
        Reason.NOT_REPRODUCED,
        "Not registered, because the model is not what its data and code give: "
        f"{'; '.join(problems)}. Set every seed that is not set. Where dvc.lock is wrong, `uv run "
        "dvc repro --force`, commit, and run again.",
    )


def is_attested(why_not: str | None) -> No | None:
    """Why nobody vouches for what training gave; None if the workflow `train` does."""
    if not why_not:
        return None
    words = "Not registered, because gates.yaml says `reproduce: attested` and "
    return No(Reason.NOT_REPRODUCED, f"{words}{why_not}")


def registration(same: str | None) -> RegisteredBefore | Register:
    """What `register` does; `same` is the version that this model is already."""
    return RegisteredBefore(same) if same else Register()


def comes_after(newest: str, commit: str, follows: bool) -> No | None:
    """Why an older merge is no new version; None if its commit comes after the newest version's.

    Its number would be the highest, and it would go live over what was merged after it.
    """
    if follows:
        return None
    return No(
        Reason.OVERTAKES,
        f"Not registered: {newest}, the newest version, was made from commit {commit[:12]}, and "
        "this commit does not come after it, so it would put back what was changed since. Release "
        "the newest commit of the default branch; where that commit was never merged, `git merge "
        f"--strategy ours {commit[:12]}` says by a pull request that it is passed by.",
    )


def promotion(
    version: str,
    model: str,
    environment: str,
    environments: Sequence[str],
    history_before: Sequence[Record],
    live: str | None,
) -> Promote | LiveAlready | No:
    """Whether a version with this model digest may be judged for an environment.

    `environments` stand in the order in which a version walks through them. `history_before` are
    the events that hold of the environment before this one (empty for the first), `live` is what
    is live in this one.
    """
    at = environments.index(environment)
    before = environments[max(at - 1, 0)]
    was_there = {(e.version, getattr(e, "model", None)) for e in history_before}
    if at and (version, model) not in was_there:
        return No(
            Reason.SKIPS_AN_ENVIRONMENT,
            f"{version} was never in {before}, and {environment} only takes what {before} has "
            f"seen. Run `mlops promote {version} --to {before}` first.",
        )
    if live == version:
        return LiveAlready()
    if live and order(live) > order(version):
        return No(
            Reason.NEWER_IS_LIVE,
            f"{live}, which is newer than {version}, is live in {environment}. Going back is a "
            f"rollback: `mlops rollback {environment} --to {version}`.",
        )
    return Promote(before)


def approval(
    environment: str,
    asked: bool,
    run: str | None,
    live: str | None,
    unapproved: str | None,
    approver: str | None,
    propose: bool,
) -> NotAsked | Approved | ByPullRequest | No:
    """Whether a promotion may be written, by whose approval.

    `unapproved` says why what is `live` is not known to have been approved, `approver` who
    approved this `run`; `propose` allows the way by a pull request.
    """
    if not asked:
        return NotAsked()
    if run is None:
        return No(
            Reason.NOT_ON_GITHUB,
            f"{environment} asks for an approval (gates.yaml), and only a run on GitHub can have "
            "one. Start it with `gh workflow run promote.yml -f version=VERSION -f "
            f"environment={environment}`.",
        )
    if unapproved:
        reason = Reason.LIVE_UNAPPROVED
        why = f"{live or ''} is live in {environment}, but {unapproved}"
    elif approver:
        return Approved(approver)
    else:
        reason = Reason.NOT_APPROVED
        why = f"nobody approved run {run} for {environment}: it has no required reviewers"
    if propose:
        return ByPullRequest(why)
    return No(
        reason,
        f"{why}, so nothing goes there unseen. With `--propose` the promotion becomes a pull "
        f"request that somebody else merges. {ADVICE}",
    )


def still_live(version: str, environment: str, unapproved: str | None) -> No | None:
    """Whether a version that is live already may be called so; None if it may."""
    if not unapproved:
        return None
    message = f"{version} is live in {environment} already, but {unapproved}. {ADVICE}"
    return No(Reason.LIVE_UNAPPROVED, message)


def rollback(
    environment: str,
    live: str | None,
    history: Sequence[Record],
    to: str | None,
    retired: Collection[str] = (),
    leave: str | None = None,
    run: str | None = None,
) -> RollBack | LiveAlready | BackAlready | DoneBefore | No:
    """Where an environment goes back to: `to`, or the last version before that is not retired.

    `history` are the events of the environment that hold, oldest first. A rollback that is run
    again goes no further back, unless it says where `to`, or which version must be left: `leave`.
    One that is tried again by the same `run` does not undo what was promoted since.
    """
    if live is None:
        message = f"Nothing is live in {environment}, so there is nothing to roll back."
        return No(Reason.NOTHING_IS_LIVE, message)
    earlier = live_versions(history)[-2::-1]
    if to == live:
        return LiveAlready()
    if to is not None and to not in earlier:
        return No(
            Reason.NEVER_LIVE_HERE,
            f"{to} was not live in {environment} before {live}. A rollback only goes back; to go "
            f"forward, `mlops promote {to} --to {environment}`.",
        )
    usable = [to] if to else [version for version in earlier if version not in retired]
    backs = [e for e in history if isinstance(e, EnvironmentRecord) and e.action == "roll back"]
    further = next(iter(usable), None)
    if leave is not None:
        if leave != live:
            return BackAlready(leave, further)
    elif run and (same := [event for event in backs if event.run == run]):
        return DoneBefore(same[-1].version)
    elif to is None and backs and backs[-1] is history[-1]:
        return BackAlready(backs[-1].previous, further)
    if not usable:
        message = f"No earlier version was live in {environment}; there is no way back."
        return No(Reason.NO_WAY_BACK, message)
    return RollBack(usable[0])


def retirement(
    version: str, retired: bool, live: Mapping[str, str | None]
) -> Retire | RetiredBefore | No:
    """Whether a version may be retired; `live` says by environment which version is."""
    if retired:
        return RetiredBefore()
    for environment, there in live.items():
        if there == version:
            return No(
                Reason.IS_LIVE,
                f"{version} is live in {environment}. Promote another version or run "
                f"`mlops rollback {environment}` first.",
            )
    return Retire()
