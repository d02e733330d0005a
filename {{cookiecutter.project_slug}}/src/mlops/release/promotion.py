"""Register, promote, roll back, retire. Each either happens whole or not at all.

The last step of each is one push to the branch registry. Whatever stops a command before that
leaves the old state, and running the command again completes it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlops.artefacts.contract import parse_contract
from mlops.artefacts.files import read_text, text_digest
from mlops.artefacts.git import Git
from mlops.artefacts.lock import TEST, Lock, parse_lock, read_lock
from mlops.artefacts.model import BASELINE, MODEL
from mlops.artefacts.storage import Storage, describe
from mlops.errors import Misuse, Refused, Undecided
from mlops.gate import policy
from mlops.gate.evidence import Champion, Evidence
from mlops.gate.verdict import Verdict, judge
from mlops.release.registry import (
    EnvironmentRecord,
    Lost,
    Registry,
    RetirementRecord,
    VersionRecord,
)
from mlops.release.versions import Source, next_version

VERSION_FILES = (MODEL, BASELINE, TEST)
TRIES = 3


@dataclass(frozen=True)
class Outcome:
    """What a command did: the version, one sentence, and the verdict if one was asked for."""

    version: str
    message: str
    changed: bool = True
    verdict: Verdict | None = None


class Release:
    """The commands that write the registry of the project in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root)
        self.storage = Storage(root)
        self.order = policy.environments(root)

    def gate(self, environment: str) -> Verdict:
        """Judge the model in the work tree for an environment."""
        champion = None
        with tempfile.TemporaryDirectory() as folder:
            self._known(environment)
            if self.git.has_remote():
                registry = self._fetched()
                champion = self._champion(registry, environment, Path(folder))
            contract = parse_contract(read_text(self.root / "contract.yaml"))
            return self._judge(self.root, environment, contract, read_lock(self.root), champion)

    def register(self) -> Outcome:
        """Make the committed model a version, if the first environment would have it."""
        return self._settle(self._register)

    def promote(self, version: str, environment: str) -> Outcome:
        """Let a version into an environment, if that environment's gate says yes."""
        self._known(environment)
        return self._settle(lambda: self._promote(version, environment))

    def roll_back(self, environment: str, to: str | None, reason: str | None) -> Outcome:
        """Bring back the version before, verified, but not asked to beat what it replaces."""
        self._known(environment)
        return self._settle(lambda: self._roll_back(environment, to, reason))

    def retire(self, version: str, reason: str) -> Outcome:
        """Say that a version may not be promoted any more."""
        return self._settle(lambda: self._retire(version, reason))

    def _register(self) -> Outcome:
        _step("1/5 read the registry and check the work tree")
        registry = self._fetched()
        commit = self._committed()
        lock = read_lock(self.root)
        new = Source.at(self.git, commit)
        for version in reversed(registry.versions):
            record = registry.version(version)
            if new.same_as(Source.at(self.git, record.commit)):
                return Outcome(version, f"This model is registered already, as {version}.", False)
        newest = registry.versions[-1] if registry.versions else None
        old = Source.at(self.git, registry.version(newest).commit) if newest else None
        version, because = next_version(newest, old, new)
        _step(f"2/5 ask the gate of {self.order[0]}")
        with tempfile.TemporaryDirectory() as folder:
            champion = self._champion(registry, self.order[0], Path(folder))
            contract = parse_contract(read_text(self.root / "contract.yaml"))
            verdict = self._judge(self.root, self.order[0], contract, lock, champion)
        if verdict.status:
            return Outcome(version, f"Not registered. {verdict.sentence}", False, verdict)
        _step("3/5 store data and models")
        self.storage.push()
        _step("4/5 verify them at the far end")
        files = [describe(self.root, path) for path in VERSION_FILES]
        self.storage.verify(files, self.order[0])
        _step(f"5/5 write {version} into the registry")
        record = VersionRecord(
            version=version,
            **self._stamp("created"),
            commit=commit,
            because=because,
            contract=text_digest(new.contract),
            pipeline=text_digest(new.lock),
            environment_lock=text_digest(new.environment) if new.environment else None,
            data={path: md5 for path, md5 in lock.deps.items() if path.startswith("data/raw")},
            files=[vars(file) for file in files],
            metrics=verdict.metrics,
            verdict=_evidence(verdict),
        )
        registry.write(record, f"Register {version}", tag=(f"v{version}", commit))
        return Outcome(version, f"Registered {version}: {'; '.join(because)}.", True, verdict)

    def _promote(self, version: str, environment: str) -> Outcome:
        _step(f"1/6 read the registry: may {version} go to {environment}?")
        registry = self._fetched()
        record = registry.version(version)
        self._not_retired(registry, version)
        before = self._before(registry, record, environment)
        live = registry.live(environment)
        if live and live.version == version:
            self.storage.verify(record.stored, environment)
            return Outcome(version, f"{version} is live in {environment} already.", False)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _step(f"2/6 fetch its files from {before or environment} and verify them")
            self.storage.fetch(record.stored, before or environment, folder / "candidate")
            _step(f"3/6 ask the gate of {environment}")
            champion = self._champion(registry, environment, folder / "champion")
            source = Source.at(self.git, record.commit)
            if text_digest(source.contract) != record.contract:
                raise Refused(f"The contract of {version} is not the one that was registered.")
            verdict = self._judge(
                folder / "candidate",
                environment,
                parse_contract(source.contract),
                parse_lock(source.lock),
                champion,
            )
            if verdict.status:
                message = f"{version} was not promoted. {verdict.sentence}"
                return Outcome(version, message, False, verdict)
            _step(f"4/6 copy the files to {environment}")
            self.storage.store(record.stored, folder / "candidate", environment)
        _step("5/6 they are verified at the far end")
        _step("6/6 write the promotion into the registry")
        self._enter(registry, record, environment, "promote", None, _evidence(verdict))
        return Outcome(version, f"{version} is live in {environment}.", True, verdict)

    def _roll_back(self, environment: str, to: str | None, reason: str | None) -> Outcome:
        _step(f"1/3 read the registry: what was live in {environment} before?")
        registry = self._fetched()
        live = registry.live(environment)
        stack = live_stack(registry, environment)
        if live is None:
            raise Refused(f"Nothing is live in {environment}, so there is nothing to roll back.")
        if to == live.version:
            return Outcome(to, f"{to} is live in {environment} already.", False)
        if to is not None and to not in stack:
            raise Refused(
                f"{to} was never live in {environment} before {live.version}. A rollback only "
                f"goes back; to go forward, `mlops promote {to} --to {environment}`."
            )
        candidates = [to] if to else stack[-2::-1]
        for version in candidates:
            if registry.retirement(version) is None:
                break
            if to:
                self._not_retired(registry, version)
        else:
            raise Refused(f"No earlier version was live in {environment}; there is no way back.")
        record = registry.version(version)
        _step(f"2/3 verify the files of {version} in the storage of {environment}")
        self.storage.verify(record.stored, environment)
        _step("3/3 write the rollback into the registry")
        evidence = {"decision": "rolled back", "from": live.version}
        self._enter(registry, record, environment, "roll back", reason, evidence)
        return Outcome(version, f"{environment} is back on {version} (was {live.version}).")

    def _retire(self, version: str, reason: str) -> Outcome:
        registry = self._fetched()
        registry.version(version)
        if registry.retirement(version):
            return Outcome(version, f"{version} is retired already.", False)
        for environment in self.order:
            live = registry.live(environment)
            if live and live.version == version:
                raise Refused(
                    f"{version} is live in {environment}. Promote another version or run "
                    f"`mlops rollback {environment}` first."
                )
        stamp = self._stamp("since")
        registry.write(RetirementRecord(version, reason=reason, **stamp), f"Retire {version}")
        return Outcome(version, f"{version} is retired: {reason}")

    def _settle(self, attempt: Callable[[], Outcome]) -> Outcome:
        """Try; if another event came first, verify everything again and try once more.

        One command at a time in this clone: the lock falls with the process that holds it.
        """
        folder = self.root / self.git("rev-parse", "--git-common-dir")
        why = ""
        try:
            with FileLock(folder / "mlops.lock", timeout=600):
                for _ in range(TRIES):
                    try:
                        return attempt()
                    except Lost as lost:
                        why = str(lost)
                        _step("again: somebody else was first, or the push was refused")
        except Timeout:
            why = "another mlops command has held this clone for 10 minutes"
        raise Undecided(f"The registry was not written, and nothing in it changed: {why}")

    def _fetched(self) -> Registry:
        registry = Registry(self.root).fetch()
        self.storage.sync(fetch=False)
        return registry

    def _known(self, environment: str) -> None:
        if environment not in self.order:
            known = ", ".join(self.order)
            raise Misuse(f"There is no environment '{environment}'. There are: {known}.")

    def _committed(self) -> str:
        """HEAD, if it is all that the model was made from."""
        dirty = self.git("status", "--porcelain", "--untracked-files=no")
        if dirty:
            raise Refused(
                "The work tree has changes that are not committed, so nobody could say what the "
                f"version was made from:\n{dirty}\nCommit them and run again."
            )
        if changes := self.storage.pipeline_changes():
            raise Refused(
                f"dvc.lock is not what the pipeline would give: {changes}. Run `uv run mlops run`, "
                "commit dvc.lock, and run again."
            )
        commit = self.git.sha("HEAD")
        if commit is None:
            raise Refused("There is no commit yet. Commit the project and run again.")
        return commit

    def _champion(self, registry: Registry, environment: str, folder: Path) -> Champion | None:
        live = registry.live(environment)
        if live is None:
            return None
        record = registry.version(live.version)
        model = [file for file in record.stored if file.path == MODEL]
        self.storage.fetch(model, environment, folder)
        return Champion(live.version, folder / MODEL)

    def _judge(
        self, files: Path, environment: str, contract: Any, lock: Lock, champion: Champion | None
    ) -> Verdict:
        rules = policy.read_policy(self.root, environment)
        return judge(rules, Evidence(files, contract, lock, champion, rules.sampling))

    def _before(self, registry: Registry, record: VersionRecord, environment: str) -> str | None:
        """The environment that a version must have been in, on the same bytes."""
        at = self.order.index(environment)
        if at == 0:
            return None
        before = self.order[at - 1]
        for event in registry.history(before):
            if isinstance(event, EnvironmentRecord) and event.version == record.version:
                if (MODEL, event.model) in record.digests:
                    return before
        raise Refused(
            f"{record.version} was never in {before}, and {environment} only takes what {before} "
            f"has seen. Run `mlops promote {record.version} --to {before}` first."
        )

    def _not_retired(self, registry: Registry, version: str) -> None:
        if gone := registry.retirement(version):
            raise Refused(f"{version} was retired on {gone.since} by {gone.by}: {gone.reason}")

    def _enter(
        self,
        registry: Registry,
        record: VersionRecord,
        environment: str,
        action: Any,
        reason: str | None,
        evidence: dict[str, Any],
    ) -> None:
        live = registry.live(environment)
        entry = EnvironmentRecord(
            environment=environment,
            version=record.version,
            action=action,
            approved_by=None,
            reason=reason,
            previous=live.version if live else None,
            model=dict(record.digests)[MODEL],
            evidence=evidence,
            **self._stamp("since"),
        )
        registry.write(entry, f"{action.capitalize()} {environment}: {record.version}")

    def _stamp(self, when: str) -> dict[str, Any]:
        name, mail = self.git("config", "user.name"), self.git("config", "user.email")
        actor = os.environ.get("GITHUB_ACTOR")
        server, repository = (
            os.environ.get("GITHUB_SERVER_URL"),
            os.environ.get("GITHUB_REPOSITORY"),
        )
        run = os.environ.get("GITHUB_RUN_ID")
        return {
            when: datetime.now(UTC).isoformat(timespec="seconds"),
            "by": actor or f"{name} <{mail}>",
            "run": f"{server}/{repository}/actions/runs/{run}" if run else None,
        }


def live_stack(registry: Registry, environment: str) -> list[str]:
    """The versions that led to the live one: promotions push, rollbacks pop."""
    stack: list[str] = []
    for event in registry.history(environment):
        if isinstance(event, EnvironmentRecord):
            if event.action == "roll back" and event.version in stack:
                last = len(stack) - 1 - stack[::-1].index(event.version)
                del stack[last:]
            stack.append(event.version)
    return stack


def _evidence(verdict: Verdict) -> dict[str, Any]:
    """What the registry keeps of a verdict."""
    return {
        "environment": verdict.environment,
        "decision": verdict.decision,
        "policy": verdict.policy,
        "champion": verdict.champion,
        "findings": [
            f"{answer.check}: {finding.subject + ': ' if finding.subject else ''}{finding.message}"
            for answer in verdict.answers
            for finding in answer.findings
        ],
    }


def _step(text: str) -> None:
    print(f"[{text.partition(' ')[0]}] {text.partition(' ')[2]}", file=sys.stderr, flush=True)
