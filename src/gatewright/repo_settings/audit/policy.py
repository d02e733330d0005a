"""What gates.yaml asks for before a version enters an environment."""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.adapters.signing import SIGNERS, TRAININGS, signers
from gatewright.project import Project
from gatewright.repo_settings.audit.rows import Row


def approvals(project: Project) -> Iterator[Row]:
    """Which environments are entered with an approval only; the last one should be."""
    asking = [name for name in project.environments if project.policy(name).approval]
    for name in asking:
        yield Row("good", f"approval of {name}", "gates.yaml asks for it")
    if (last := project.environments[-1]) not in asking:
        yield Row("bad", f"approval of {last}", f"gates.yaml lets {last} be entered unapproved")


def protection(project: Project) -> Iterator[Row]:
    """Whether versions are signed, and whether the last environment asks for it."""
    last, keys = project.environments[-1], len(signers(project.root))
    if demanded := project.policy(last).protection:
        words = f"{last} demands of every version: {', '.join(demanded)}"
        missing = "signature" in demanded and not keys
        yield Row("bad" if missing else "good", "protection", words)
    else:
        words = f"{last} demands no signature (`protection` in gates.yaml)"
        yield Row("note", "protection", words)
    words = f"{keys} keys may sign versions" if keys else "no key signs versions: "
    words += "" if keys else "`mlops github apply --yes` makes one"
    yield Row("good" if keys else "note", str(SIGNERS), words)


def reproduction(project: Project) -> Iterator[Row]:
    """What proves that a model follows from its data and code."""
    if project.reproduce == "always":
        yield Row("good", "reproduction", "each model is built again before it may enter")
        return
    keys = len(signers(project.root, TRAININGS))
    words = f"trainings are attested; {keys} keys of {TRAININGS.file} may"
    mend = ", so no model can enter: `mlops github apply --yes` makes one"
    yield Row("good" if keys else "bad", "reproduction", words + ("" if keys else mend))
