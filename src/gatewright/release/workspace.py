"""What every release command works with: this clone of the project, its storage and registry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from gatewright.adapters.dvc import Storage
from gatewright.adapters.github import GitHub
from gatewright.adapters.model_file import allowed_types
from gatewright.errors import Undecided
from gatewright.gate.inputs import GateInputs, gather
from gatewright.gate.judged_rows import Place, with_judged_rows
from gatewright.gate.policy import champion_metrics
from gatewright.gate.same_inputs import are_same
from gatewright.gate.verdict import Verdict, judge
from gatewright.paths import TEST
from gatewright.pipeline.committed import JUDGES, hidden_changes, not_merged, uncommitted
from gatewright.pipeline.source import Source
from gatewright.project import Project
from gatewright.registry.champion import live_champion
from gatewright.registry.git_registry import PushRefused, Registry, fetch_registry
from gatewright.registry.records import EnvironmentRecord, VersionRecord
from gatewright.release import progress, rules
from gatewright.run_context import RunContext, current

TRIES = 3


class Kind(StrEnum):
    """What came of a command that writes the registry."""

    NOTHING_TO_REGISTER = "nothing to register"
    REGISTERED = "registered"
    REGISTERED_BEFORE = "registered before"
    PROMOTED = "promoted"
    LIVE_BEFORE = "live before"
    PROPOSED = "proposed"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"
    RETIRED = "retired"
    RETIRED_BEFORE = "retired before"


_CHANGES = {Kind.REGISTERED, Kind.PROMOTED, Kind.ROLLED_BACK, Kind.RETIRED}


@dataclass(frozen=True)
class Outcome:
    """What a command did, to which version, in one sentence; the verdict if the gate was asked."""

    kind: Kind
    version: str
    message: str
    verdict: Verdict | None = None

    @property
    def changed(self) -> bool:
        """Whether the registry has another event."""
        return self.kind in _CHANGES


class Workspace:
    """One clone of the project, in which one command runs."""

    def __init__(self, root: Path, run: RunContext | None = None) -> None:
        self.root = root
        self.run = run or current()
        self.project = Project(root)
        self.storage = Storage(root)
        self.git = self.storage.git
        self._kept: ExitStack | None = None
        self._judged: list[GateInputs] = []

    @cached_property
    def github(self) -> GitHub | None:
        """The repository that origin is on GitHub, if it is there."""
        return GitHub.of(self.root)

    def registry(self) -> Registry:
        """The registry as origin has it now, with the storage of the same fetch."""
        return fetch_registry(self.root, self.storage)

    def judge_work_tree(self, environment: str) -> Verdict:
        """Ask the gate about the model in the work tree, for an environment."""
        self.project.known(environment)
        with self.git.alone():
            registry = self.registry() if self.git.has_remote() else None
            notes = []
            if differing := self.uncommitted():
                words = "It was judged by what is not committed, and nothing is released by that"
                notes.append(f"{words}: {', '.join(differing[:5])}")
            source = Source.in_work_tree(self.root)
            return self.judge(registry, environment, self.root, source, "HEAD", notes=tuple(notes))

    def judge(
        self,
        registry: Registry | None,
        environment: str,
        files: Path,
        source: Source,
        commit: str,
        version: str | None = None,
        slices: bool = False,
        notes: tuple[str, ...] = (),
    ) -> Verdict:
        """Ask the gate about the model in `files`, against what is live in the environment.

        `commit` is the one whose history says which test rows may judge.
        """
        policy = self.project.policy(environment)
        with self.folder() as folder:
            champion = live_champion(
                *(self.git, self.storage, registry, environment, folder),
                metrics=champion_metrics(policy),
            )
            known = folder / TEST if champion else None
            types = allowed_types(self.root)
            evidence = gather(policy, files, source, champion, known, types, version=version)
            first = self.project.environments[0]
            place = Place(self.git, self.storage, registry, first, files, folder)
            test = evidence.lock.outs.get(TEST)
            evidence = with_judged_rows(evidence, policy, place, commit, test)
            return judge(policy, self._known(evidence), notes=notes, slices=slices)

    @contextmanager
    def measuring_once(self) -> Iterator[None]:
        """Within it, nothing is measured twice of the same files, on the same rows, against the
        same champion.
        """
        with ExitStack() as kept:
            self._kept, self._judged = kept, []
            try:
                yield
            finally:
                self._kept, self._judged = None, []

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for files that are needed now; within `measuring_once`, until that ends."""
        made = tempfile.TemporaryDirectory()
        if self._kept is not None:
            yield Path(self._kept.enter_context(made))
            return
        with made as name:
            yield Path(name)

    def _known(self, evidence: GateInputs) -> GateInputs:
        """What was judged before and is the same, with all that was measured of it; or this."""
        if self._kept is None:
            return evidence
        for before in self._judged:
            if are_same(before, evidence):
                return before
        self._judged.append(evidence)
        return evidence

    def require_committed_judges(self, everything: bool = False) -> None:
        """Raises Refused if policy, contract or what else judges here is not the commit's.

        With `everything`, also for any file that Git was told not to look at.
        """
        marked = hidden_changes(self.git, () if everything else JUDGES)
        if no := rules.judges_are_committed(self.uncommitted(), marked):
            raise rules.refused(no)

    def require_merged_judges(self) -> None:
        """Raises Refused if what judges here is not what origin's default branch holds."""
        git = self.git
        tip = git.default_tip()
        differing = not_merged(git, tip, self.project.has_own_functions) if tip else []
        before = tip is not None and git.ok("merge-base", "--is-ancestor", "HEAD", tip)
        there = tip is not None
        if no := rules.judges_are_merged(there, differing, before, self.run.on_github):
            raise rules.refused(no)

    def uncommitted(self) -> list[str]:
        """The paths that judge here, and are not what HEAD holds."""
        return uncommitted(self.git, code=self.project.has_own_functions)

    def settle(self, attempt: Callable[[], Outcome]) -> Outcome:
        """Try; if another event came first, verify everything again and try once more."""
        why = ""
        with self.git.alone():
            for _ in range(TRIES):
                try:
                    return attempt()
                except PushRefused as error:
                    why = str(error)
                    progress.step("again somebody else was first, or the push was refused")
        raise Undecided(f"The registry was not written, and nothing in it changed: {why}")

    def event(
        self,
        record: VersionRecord,
        environment: str,
        action: Literal["promote", "roll back"],
        evidence: dict[str, Any],
        previous: str | None,
        approved_by: str | None = None,
        reason: str | None = None,
    ) -> EnvironmentRecord:
        """The record by which a version goes live in an environment."""
        return EnvironmentRecord(
            environment=environment,
            version=record.version,
            action=action,
            approved_by=approved_by,
            reason=reason,
            previous=previous,
            model=record.model,
            evidence=evidence,
            **self.stamp("since"),
        )

    def stamp(self, when: str) -> dict[str, Any]:
        """Who, when (under the name `when`) and, on GitHub, in which run."""
        who = self.git("var", "GIT_COMMITTER_IDENT").rpartition(" <")[0]
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {when: now, "by": self.run.actor or who, "run": self.run.run_page}
