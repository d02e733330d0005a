"""What a merged proposal let in, or a rollback brought back, is tried and shown.

GitHub starts nothing when the registry changes: the branch holds no workflows. So this is run by
schedule and by hand, finds what is left to do, and changes nothing where it was done.
"""

from __future__ import annotations

from gatewright.errors import Refused, Undecided
from gatewright.registry.git_registry import Registry
from gatewright.release.github_release import is_shown, publish
from gatewright.release.rules import BY_PULL_REQUEST
from gatewright.release.smoke_test import smoke
from gatewright.release.workspace import Workspace


def unsettled(workspace: Workspace) -> list[str]:
    """The environments whose live version was let in and is not shown on GitHub yet."""
    if (github := workspace.github) is None:
        return []
    registry = Registry(workspace.root).fetch()
    found = []
    for name in workspace.project.environments:
        live = registry.live(name)
        if live is None or (live.action == "promote" and live.approved_by != BY_PULL_REQUEST):
            continue
        if not is_shown(github, live):
            found.append(name)
    return found


def settle(workspace: Workspace) -> list[str]:
    """Try each, go back where it fails its smoke check, and show what is live then.

    Raises Refused at the end if one failed.
    """
    done, failed = [], []
    last = workspace.project.environments[-1]
    for name in unsettled(workspace):
        try:
            done.append(smoke(workspace, name, True))
        except Undecided:
            raise
        except Refused as error:
            failed.append(str(error))
        done.append(publish(workspace.root, name, last))
    if failed:
        raise Refused(" ".join(failed))
    return done
