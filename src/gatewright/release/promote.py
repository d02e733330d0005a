"""A version enters an environment, if that environment's gate says yes.

It happens whole or not at all: the last step is one push to the branch registry. Whatever stops
the command before that leaves the old state, and running it again completes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatewright.adapters.app_token import as_app
from gatewright.adapters.github import Forbidden, GitHub
from gatewright.adapters.markdown import cell
from gatewright.errors import Refused, Undecided
from gatewright.gate import report
from gatewright.gate.verdict import Verdict
from gatewright.paths import MODEL
from gatewright.registry.champion import read_source
from gatewright.registry.git_registry import Registry
from gatewright.registry.provenance import vouched
from gatewright.registry.records import EnvironmentRecord, VersionRecord
from gatewright.release import progress, rules
from gatewright.release.approval import PROPOSALS, approver, why_unapproved
from gatewright.release.github_release import propose
from gatewright.release.workspace import Kind, Outcome, Workspace

LIVE = (Kind.PROMOTED, Kind.LIVE_BEFORE)


def promote_through(
    workspace: Workspace, version: str, environments: Sequence[str], propose: bool = False
) -> Iterator[Outcome]:
    """Let a version into one environment after the other, up to the first that does not take it.

    Each asks its own gate, against what is live there, and writes its own event, as if promoted by
    itself; only what would be measured twice is measured once.
    """
    for environment in environments:
        workspace.project.known(environment)
    with workspace.measuring_once():
        for environment in environments:
            outcome = promote(workspace, version, environment, propose)
            yield outcome
            if outcome.kind not in LIVE:
                return


def promote(workspace: Workspace, version: str, environment: str, propose: bool = False) -> Outcome:
    """Let a version into an environment.

    Where somebody must approve and nobody was asked, `propose` opens a pull request to the
    registry instead of refusing.
    """
    workspace.project.known(environment)
    return workspace.settle(lambda: _promote(workspace, version, environment, propose))


def _promote(workspace: Workspace, version: str, environment: str, propose: bool) -> Outcome:
    progress.step(f"1/6 read the registry: may {version} go to {environment}?")
    workspace.require_committed_judges()
    registry, storage = workspace.registry(), workspace.storage
    workspace.require_merged_judges()
    record = registry.usable(version)
    live = registry.live(environment)
    match _promotion(workspace, registry, record, environment):
        case rules.No() as no:
            raise rules.refused(no)
        case rules.LiveAlready():
            return _live_already(workspace, registry, record, environment)
        case rules.Promote(before):
            pass
    approval = _approval(workspace, registry, environment, propose)
    if isinstance(approval, rules.No):
        raise rules.refused(approval)
    with workspace.folder() as folder:
        progress.step(f"2/6 fetch its files from {before} and verify them")
        storage.fetch(record.stored, before, folder)
        demanded = workspace.project.policy(environment).protection
        protection = vouched(workspace.root, demanded, environment, record, folder / MODEL)
        progress.step(f"3/6 ask the gate of {environment}")
        source = read_source(workspace.git, record)
        verdict = workspace.judge(registry, environment, folder, source, record.commit, version)
        if verdict.status:
            words = f"{version} was not promoted. {verdict.sentence}"
            return Outcome(Kind.REFUSED, version, words, verdict)
        progress.step(f"4/6 copy the files to {environment}")
        storage.store(record.stored, folder, environment)
    progress.step(f"5/6 verify them in {environment}")
    storage.verify(record.stored, environment)
    event = workspace.event(
        record,
        environment,
        "promote",
        verdict.summary | {"protection": protection},
        previous=live.version if live else None,
        approved_by=_approved_by(approval),
    )
    if isinstance(approval, rules.ByPullRequest):
        progress.step("6/6 propose the promotion as a pull request to the registry")
        return _propose(workspace, registry, event, verdict, approval.why)
    progress.step("6/6 write the promotion into the registry")
    registry.write(event, f"Promote {environment}: {version}")
    return Outcome(Kind.PROMOTED, version, f"{version} is live in {environment}.", verdict)


def _promotion(
    workspace: Workspace, registry: Registry, record: VersionRecord, environment: str
) -> rules.Promote | rules.LiveAlready | rules.No:
    environments = workspace.project.environments
    at = environments.index(environment)
    live = registry.live(environment)
    return rules.promotion(
        record.version,
        record.model,
        environment,
        environments,
        registry.history(environments[at - 1]) if at else (),
        live.version if live else None,
    )


def _live_already(
    workspace: Workspace, registry: Registry, record: VersionRecord, environment: str
) -> Outcome:
    """Nothing to do, if what is live was approved and its files are whole."""
    github = _asked(workspace, environment)
    unapproved = why_unapproved(github, registry, environment) if github else None
    if no := rules.still_live(record.version, environment, unapproved):
        raise rules.refused(no)
    workspace.storage.verify(record.stored, environment)
    words = f"{record.version} is live in {environment} already."
    return Outcome(Kind.LIVE_BEFORE, record.version, words)


def _asked(workspace: Workspace, environment: str) -> GitHub | None:
    """GitHub, where the environment asks for an approval.

    Where origin is no GitHub, the word of whoever promotes has to do.
    """
    return workspace.github if workspace.project.policy(environment).approval else None


def _approval(
    workspace: Workspace, registry: Registry, environment: str, propose: bool
) -> rules.NotAsked | rules.Approved | rules.ByPullRequest | rules.No:
    github, run = _asked(workspace, environment), workspace.run.run_id
    live, unapproved, who = registry.live(environment), None, None
    if github and run:
        unapproved = why_unapproved(github, registry, environment)
        who = None if unapproved else approver(github, run, environment)
    return rules.approval(
        environment,
        github is not None,
        run,
        live.version if live else None,
        unapproved,
        who,
        propose,
    )


def _approved_by(approval: rules.NotAsked | rules.Approved | rules.ByPullRequest) -> str | None:
    match approval:
        case rules.Approved(by):
            return by
        case rules.ByPullRequest():
            return rules.BY_PULL_REQUEST
        case rules.NotAsked():
            return None


def _propose(
    workspace: Workspace,
    registry: Registry,
    event: EnvironmentRecord,
    verdict: Verdict,
    why: str,
) -> Outcome:
    if (github := workspace.github) is None:  # only there is an approval asked for
        raise Undecided("A promotion can only be proposed on GitHub, and origin is not there.")
    branch = f"{PROPOSALS}{event.environment}"
    subject = f"Promote {event.environment}: {event.version}"
    registry.propose(event, subject, branch)
    body = (
        f"Merging this lets **{event.version}** into **{event.environment}**. It replaces "
        f"{event.previous or 'nothing'}. Somebody else than {cell(event.by)}, who asked for it, "
        "has to approve it by a review (a person: a bot's review does not count); then it may be "
        f"merged.\n\nWhy it is a pull request: {cell(why)}.\n\n"
        f"Run: {event.run}\n\n{report.to_markdown(verdict)}"
    )
    try:
        url = propose(as_app(github), branch, subject, body)
    except Forbidden as error:
        raise Refused(
            f"{event.version} is on the branch {branch}, and its pull request was not opened: "
            f"{error} `mlops github apply --yes` lets workflows open it where a promotion needs "
            "one; where the organisation forbids that, a GitHub App opens it (`mlops explain "
            "github`)."
        ) from None
    words = (
        f"{event.version} is proposed for {event.environment}; once somebody else approved {url}, "
        "merging it lets it in."
    )
    return Outcome(Kind.PROPOSED, event.version, words, verdict)
