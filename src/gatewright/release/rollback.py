"""An environment goes back to a version that was live there before, in one push."""

from __future__ import annotations

from gatewright.registry.event_log import live_versions
from gatewright.release import progress, rules
from gatewright.release.workspace import Kind, Outcome, Workspace


def roll_back(
    workspace: Workspace,
    environment: str,
    to: str | None,
    reason: str | None,
    leave: str | None = None,
) -> Outcome:
    """Bring back the version before, verified, but not asked to beat what it replaces.

    Run again after it is finished, it changes nothing: an operator who is in doubt, or a workflow
    that is tried again, does not go one further back. `leave` names the version that is to go.
    """
    workspace.project.known(environment)
    return workspace.settle(lambda: _roll_back(workspace, environment, to, reason, leave))


def _roll_back(
    workspace: Workspace,
    environment: str,
    to: str | None,
    reason: str | None,
    leave: str | None,
) -> Outcome:
    progress.step(f"1/3 read the registry: what was live in {environment} before?")
    registry = workspace.registry()
    record = registry.live(environment)
    live = record.version if record else None
    history = registry.history(environment) if live else []
    earlier = [] if to else live_versions(history)[:-1]
    retired = {version for version in earlier if registry.retirement(version)}
    run = workspace.run.run_page
    match rules.rollback(environment, live, history, to, retired, leave, run):
        case rules.No() as no:
            raise rules.refused(no)
        case rules.LiveAlready():
            words = f"{live} is live in {environment} already."
            return Outcome(Kind.LIVE_BEFORE, str(live), words)
        case rules.DoneBefore(version):
            words = (
                f"This run rolled {environment} back to {version} before, and {live} is live there "
                "now; nothing was changed. To roll back again, start a new run."
            )
            return Outcome(Kind.LIVE_BEFORE, str(live), words)
        case rules.BackAlready(left, further):
            since = f" since {record.since}, by {record.by}" if record else ""
            words = f"{environment} is on {live} already{since} (was {left}); nothing was changed."
            if further:
                words += f" To go further back: `mlops rollback {environment} --to {further}`."
            return Outcome(Kind.LIVE_BEFORE, str(live), words)
        case rules.RollBack(version):
            back = registry.usable(version)
    progress.step(f"2/3 verify the files of {back.version} in the storage of {environment}")
    workspace.storage.verify(back.stored, environment)
    progress.step("3/3 write the rollback into the registry")
    evidence = {"decision": "not asked", "from": live}
    event = workspace.event(back, environment, "roll back", evidence, previous=live, reason=reason)
    registry.write(event, f"Roll back {environment}: {back.version}")
    words = f"{environment} is back on {back.version} (was {live})."
    return Outcome(Kind.ROLLED_BACK, back.version, words)
