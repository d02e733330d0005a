"""Register, promote, roll back, retire. Each either happens whole or not at all.

The last step of each is one push to the branch registry. Whatever stops a command before that
leaves the old state, and running the command again completes it.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mlops.artefacts.contract import parse_contract
from mlops.artefacts.files import text_digest
from mlops.artefacts.git import Git
from mlops.artefacts.lock import TEST, parse_lock
from mlops.artefacts.model import BASELINE, MODEL
from mlops.artefacts.storage import Storage, describe
from mlops.errors import Misuse, Refused, Undecided
from mlops.gate import policy
from mlops.gate.evidence import Champion, Evidence
from mlops.gate.verdict import Verdict, judge
from mlops.release.registry import (
    EnvironmentRecord,
    Lost,
    Record,
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
    """The commands that need or write the registry of the project in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root)
        self.storage = Storage(root)
        self.order = policy.environments(root)

    def gate(self, environment: str) -> Verdict:
        """Judge the model in the work tree for an environment."""
        self._known(environment)
        with self.git.alone():
            registry = self._fetched() if self.git.has_remote() else None
            return self._judge(registry, environment, self.root, Source.in_work_tree(self.root))

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
        new = Source.at(self.git, commit)
        if same := registry.made_from(text_digest(new.contract), text_digest(new.lock)):
            return Outcome(same, f"This model is registered already, as {same}.", False)
        newest = registry.version(registry.versions[-1]) if registry.versions else None
        version, because = next_version(
            newest.version if newest else None,
            Source.at(self.git, newest.commit) if newest else None,
            new,
        )
        _step(f"2/5 ask the gate of {self.order[0]}")
        verdict = self._judge(registry, self.order[0], self.root, new)
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
            data={p: d for p, d in parse_lock(new.lock).deps.items() if p.startswith("data/raw")},
            files=[vars(file) for file in files],
            metrics=verdict.metrics,
            verdict=verdict.summary,
        )
        registry.write(record, f"Register {version}", tag=(f"v{version}", commit))
        return Outcome(version, f"Registered {version}: {'; '.join(because)}.", True, verdict)

    def _promote(self, version: str, environment: str) -> Outcome:
        _step(f"1/6 read the registry: may {version} go to {environment}?")
        registry = self._fetched()
        record = registry.usable(version)
        before = self._before(registry, record, environment)
        live = registry.live(environment)
        if live and live.version == version:
            self.storage.verify(record.stored, environment)
            return Outcome(version, f"{version} is live in {environment} already.", False)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _step(f"2/6 fetch its files from {before} and verify them")
            self.storage.fetch(record.stored, before, folder)
            _step(f"3/6 ask the gate of {environment}")
            verdict = self._judge(registry, environment, folder, self._source(record))
            if verdict.status:
                message = f"{version} was not promoted. {verdict.sentence}"
                return Outcome(version, message, False, verdict)
            _step(f"4/6 copy the files to {environment}")
            self.storage.store(record.stored, folder, environment)
        _step(f"5/6 verify them in {environment}")
        self.storage.verify(record.stored, environment)
        _step("6/6 write the promotion into the registry")
        self._enter(registry, record, environment, "promote", None, verdict.summary)
        return Outcome(version, f"{version} is live in {environment}.", True, verdict)

    def _roll_back(self, environment: str, to: str | None, reason: str | None) -> Outcome:
        _step(f"1/3 read the registry: what was live in {environment} before?")
        registry = self._fetched()
        live = registry.live(environment)
        if live is None:
            raise Refused(f"Nothing is live in {environment}, so there is nothing to roll back.")
        if to == live.version:
            return Outcome(to, f"{to} is live in {environment} already.", False)
        earlier = live_stack(registry.history(environment))[-2::-1]
        if to is not None and to not in earlier:
            raise Refused(
                f"{to} was not live in {environment} before {live.version}. A rollback only goes "
                f"back; to go forward, `mlops promote {to} --to {environment}`."
            )
        usable = [to] if to else [v for v in earlier if registry.retirement(v) is None]
        if not usable:
            raise Refused(f"No earlier version was live in {environment}; there is no way back.")
        record = registry.usable(usable[0])
        _step(f"2/3 verify the files of {record.version} in the storage of {environment}")
        self.storage.verify(record.stored, environment)
        _step("3/3 write the rollback into the registry")
        evidence = {"decision": "not asked", "from": live.version}
        self._enter(registry, record, environment, "roll back", reason, evidence)
        message = f"{environment} is back on {record.version} (was {live.version})."
        return Outcome(record.version, message)

    def _retire(self, version: str, reason: str) -> Outcome:
        registry = self._fetched()
        registry.version(version)
        if registry.retirement(version):
            return Outcome(version, f"{version} is retired already.", False)
        for environment in self.order:
            if (live := registry.live(environment)) and live.version == version:
                raise Refused(
                    f"{version} is live in {environment}. Promote another version or run "
                    f"`mlops rollback {environment}` first."
                )
        record = RetirementRecord(version, reason=reason, **self._stamp("since"))
        registry.write(record, f"Retire {version}")
        return Outcome(version, f"{version} is retired: {reason}")

    def _settle(self, attempt: Callable[[], Outcome]) -> Outcome:
        """Try; if another event came first, verify everything again and try once more."""
        why = ""
        with self.git.alone():
            for _ in range(TRIES):
                try:
                    return attempt()
                except Lost as lost:
                    why = str(lost)
                    _step("again somebody else was first, or the push was refused")
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
        if dirty := self.git("status", "--porcelain", "--untracked-files=no"):
            raise Refused(
                "The work tree has changes that are not committed, so nobody could say what the "
                f"version was made from:\n{dirty}\nCommit them and run again."
            )
        if changes := self.storage.pipeline_changes():
            raise Refused(
                f"dvc.lock is not what the pipeline would give: {changes}. Run `uv run mlops run`, "
                "commit dvc.lock, and run again."
            )
        return self.git("rev-parse", "HEAD")

    def _source(self, record: VersionRecord) -> Source:
        source = Source.at(self.git, record.commit)
        if (text_digest(source.contract), text_digest(source.lock)) != (
            record.contract,
            record.pipeline,
        ):
            raise Refused(f"Commit {record.commit} is not what {record.version} was made from.")
        return source

    def _judge(
        self, registry: Registry | None, environment: str, files: Path, source: Source
    ) -> Verdict:
        """Ask the gate about the model in `files`, against what is live in the environment."""
        rules = policy.read_policy(self.root, environment)
        live = registry.live(environment) if registry else None
        champion = None
        with tempfile.TemporaryDirectory() as name:
            if registry and live:
                record = registry.version(live.version)
                model = [file for file in record.stored if file.path == MODEL]
                self.storage.fetch(model, environment, Path(name))
                contract = parse_contract(self._source(record).contract)
                champion = Champion(live.version, Path(name) / MODEL, contract)
            contract, lock = parse_contract(source.contract), parse_lock(source.lock)
            return judge(rules, Evidence(files, contract, lock, champion, rules.sampling))

    def _before(self, registry: Registry, record: VersionRecord, environment: str) -> str:
        """The environment that holds the version now: it must have been there, same bytes."""
        at = self.order.index(environment)
        if at == 0:
            return environment
        before = self.order[at - 1]
        was_there = {(e.version, getattr(e, "model", None)) for e in registry.history(before)}
        if (record.version, record.model) in was_there:
            return before
        raise Refused(
            f"{record.version} was never in {before}, and {environment} only takes what {before} "
            f"has seen. Run `mlops promote {record.version} --to {before}` first."
        )

    def _enter(
        self,
        registry: Registry,
        record: VersionRecord,
        environment: str,
        action: Literal["promote", "roll back"],
        reason: str | None,
        evidence: dict[str, Any],
    ) -> None:
        live = registry.live(environment)
        registry.write(
            EnvironmentRecord(
                environment=environment,
                version=record.version,
                action=action,
                approved_by=None,
                reason=reason,
                previous=live.version if live else None,
                model=record.model,
                evidence=evidence,
                **self._stamp("since"),
            ),
            f"{action.capitalize()} {environment}: {record.version}",
        )

    def _stamp(self, when: str) -> dict[str, Any]:
        """Who, when and, on GitHub, in which run."""
        run = None
        if number := os.environ.get("GITHUB_RUN_ID"):
            server, repository = os.environ["GITHUB_SERVER_URL"], os.environ["GITHUB_REPOSITORY"]
            run = f"{server}/{repository}/actions/runs/{number}"
        who = self.git("var", "GIT_COMMITTER_IDENT").rpartition(" <")[0]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {when: now, "by": os.environ.get("GITHUB_ACTOR") or who, "run": run}


def live_stack(history: list[Record]) -> list[str]:
    """The versions that led to the live one: promotions push, rollbacks pop."""
    stack: list[str] = []
    for event in history:
        if getattr(event, "action", "") == "roll back":
            while stack and stack[-1] != event.version:
                stack.pop()
        else:
            stack.append(event.version)
    return stack


def _step(text: str) -> None:
    """Say which step begins, before it begins."""
    number, _, words = text.partition(" ")
    print(f"[{number}] {words}", file=sys.stderr, flush=True)
