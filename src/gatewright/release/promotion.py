"""Register, promote, roll back, retire. Each either happens whole or not at all.

The last step of each is one push to the branch registry. Whatever stops a command before that
leaves the old state, and running the command again completes it.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from gatewright.adapters.dvc import Storage, describe, read_pipeline, reproduce
from gatewright.adapters.files import text_digest
from gatewright.adapters.git import Git
from gatewright.adapters.github import GitHub
from gatewright.adapters.markdown import cell
from gatewright.adapters.signing import sign
from gatewright.contract.schema import parse_contract
from gatewright.errors import Misuse, Refused, Undecided
from gatewright.gate import policy, report
from gatewright.gate.inputs import gather
from gatewright.gate.verdict import Verdict, judge
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.changes import lock_at
from gatewright.pipeline.dvc_lock import parse_lock
from gatewright.pipeline.lock_verification import unwatched_code
from gatewright.pipeline.source import Source
from gatewright.registry.champion import live_champion, read_source
from gatewright.registry.git_registry import Lost, Registry, fetch_registry
from gatewright.registry.provenance import vouched
from gatewright.registry.records import (
    EnvironmentRecord,
    Record,
    RetirementRecord,
    VersionRecord,
    order,
)
from gatewright.release.approval import BY_PULL_REQUEST, approver, doubt
from gatewright.release.github_release import PROPOSALS, propose
from gatewright.release.semver import next_version
from gatewright.release.smoke_test import check_golden, golden

VERSION_FILES = (MODEL, BASELINE, TRAIN, TEST)
TRIES = 3
_LOOK = "`uv run mlops doctor` says what protects this repository."


@dataclass(frozen=True)
class Outcome:
    """What a command did: the version, one sentence, and the verdict if one was asked for."""

    version: str
    message: str
    changed: bool = True
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Proposal:
    """Where a promotion is proposed as a pull request, and why it is not simply made."""

    github: GitHub
    why: str


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
            registry = self.fetched() if self.git.has_remote() else None
            return self._judge(registry, environment, self.root, Source.in_work_tree(self.root))

    def register(self, build: bool = False) -> Outcome:
        """Make the committed model a version, if the first environment would have it.

        `build` gets the outputs first, from storage or by running what is not there; a repository
        without a model has nothing to register then.
        """
        return self._settle(lambda: self._register(build))

    def promote(self, version: str, environment: str, propose: bool = False) -> Outcome:
        """Let a version into an environment, if that environment's gate says yes.

        Where somebody must approve and nobody was asked, `propose` opens a pull request to the
        registry instead of refusing.
        """
        self._known(environment)
        return self._settle(lambda: self._promote(version, environment, propose))

    def roll_back(self, environment: str, to: str | None, reason: str | None) -> Outcome:
        """Bring back the version before, verified, but not asked to beat what it replaces."""
        self._known(environment)
        return self._settle(lambda: self._roll_back(environment, to, reason))

    def smoke(self, environment: str, roll_back: bool) -> str:
        """Try what is live on its golden rows; if it fails, go back where that was asked for."""
        self._known(environment)
        with self.git.alone():
            registry = self.fetched()
            live = registry.live(environment)
            if live is None:
                raise Refused(f"Nothing is live in {environment}, so nothing can be tried.")
            try:
                return self._smoke(registry.version(live.version), environment)
            except Refused as error:
                why = str(error)
        said = f"{live.version} in {environment} fails its smoke check: {why}."
        if not roll_back:
            raise Refused(f"{said} Go back with `mlops rollback {environment}`.")
        try:
            back = self.roll_back(environment, None, f"smoke check: {why}"[:300])
        except Refused as no_way:
            raise Refused(f"{said} AND THE ROLLBACK FAILED: {no_way}") from None
        raise Refused(f"{said} Rolled back: {back.message}")

    def _smoke(self, record: VersionRecord, environment: str) -> str:
        contract = parse_contract(read_source(self.git, record).contract)
        with tempfile.TemporaryDirectory() as name:
            self.storage.fetch(record.stored, environment, Path(name))
            count = check_golden(Path(name), record.golden, contract)
        return f"{record.version} in {environment} answers {count} golden rows as registered."

    def retire(self, version: str, reason: str) -> Outcome:
        """Say that a version may not be promoted any more."""
        return self._settle(lambda: self._retire(version, reason))

    def _register(self, build: bool) -> Outcome:
        _step("1/5 read the registry and check the work tree")
        registry = self.fetched()
        if build and lock_at(self.git, "HEAD") is None:
            words = "Nothing to register: no model is committed yet. Run `uv run mlops run`."
            return Outcome("", words, False)
        commit = self._committed()
        new = Source.at(self.git, commit)
        if same := registry.made_from(text_digest(new.contract), text_digest(new.lock)):
            return Outcome(same, f"This model is registered already, as {same}.", False)
        if build:
            _step("1/5 get the outputs of the pipeline")
            reproduce(self.root)
            self._committed()
        newest = registry.version(registry.versions[-1]) if registry.versions else None
        version, because = next_version(
            newest.version if newest else None,
            Source.at(self.git, newest.commit) if newest else None,
            new,
            registry.used,
        )
        _step(f"2/5 ask the gate of {self.order[0]}")
        verdict = self._judge(registry, self.order[0], self.root, new, version, slices=True)
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
            golden=golden(self.root, parse_contract(new.contract)),
            slices=verdict.slices,
        )
        record = replace(record, signature=sign(self.root, record.statement))
        registry.write(record, f"Register {version}", tag=(f"v{version}", commit))
        return Outcome(version, f"Registered {version}: {'; '.join(because)}.", True, verdict)

    def _promote(self, version: str, environment: str, propose: bool) -> Outcome:
        _step(f"1/6 read the registry: may {version} go to {environment}?")
        registry = self.fetched()
        record = registry.usable(version)
        before = self._before(registry, record, environment)
        live = registry.live(environment)
        if live and live.version == version:
            if (github := self._asks(environment)) and (
                why := doubt(github, registry, environment)
            ):
                raise Refused(f"{version} is live in {environment} already, but {why}. {_LOOK}")
            self.storage.verify(record.stored, environment)
            return Outcome(version, f"{version} is live in {environment} already.", False)
        if live and order(live.version) > order(version):
            raise Refused(
                f"{live.version}, which is newer than {version}, is live in {environment}. Going "
                f"back is a rollback: `mlops rollback {environment} --to {version}`."
            )
        approved_by, proposal = self._approved(registry, environment, propose)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _step(f"2/6 fetch its files from {before} and verify them")
            self.storage.fetch(record.stored, before, folder)
            rules = policy.read_policy(self.root, environment)
            protection = vouched(self.root, rules.protection, environment, record, folder / MODEL)
            _step(f"3/6 ask the gate of {environment}")
            source = read_source(self.git, record)
            verdict = self._judge(registry, environment, folder, source, version)
            if verdict.status:
                message = f"{version} was not promoted. {verdict.sentence}"
                return Outcome(version, message, False, verdict)
            _step(f"4/6 copy the files to {environment}")
            self.storage.store(record.stored, folder, environment)
        _step(f"5/6 verify them in {environment}")
        self.storage.verify(record.stored, environment)
        evidence = verdict.summary | {"protection": protection}
        entry = self._entry(registry, record, environment, "promote", None, evidence)
        entry = replace(entry, approved_by=approved_by)
        if proposal:
            _step("6/6 propose the promotion as a pull request to the registry")
            return self._propose(registry, entry, verdict, proposal)
        _step("6/6 write the promotion into the registry")
        registry.write(entry, f"Promote {environment}: {version}")
        return Outcome(version, f"{version} is live in {environment}.", True, verdict)

    def _roll_back(self, environment: str, to: str | None, reason: str | None) -> Outcome:
        _step(f"1/3 read the registry: what was live in {environment} before?")
        registry = self.fetched()
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
        entry = self._entry(registry, record, environment, "roll back", reason, evidence)
        registry.write(entry, f"Roll back {environment}: {record.version}")
        message = f"{environment} is back on {record.version} (was {live.version})."
        return Outcome(record.version, message)

    def _retire(self, version: str, reason: str) -> Outcome:
        registry = self.fetched()
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

    def fetched(self) -> Registry:
        """The registry as origin has it, with the storage."""
        return fetch_registry(self.root, self.storage)

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
        pipeline = read_pipeline(self.root)
        if unwatched := unwatched_code(self.root, pipeline):
            raise Refused(
                "dvc.lock cannot be believed, because stages run code that DVC does not watch: "
                f"{'; '.join(unwatched)}. Then `uv run mlops run`, commit, and run again."
            )
        if stages := pipeline.stale:
            raise Refused(
                "dvc.lock is not what the pipeline would give: it would run "
                f"{', '.join(stages)}. Run `uv run mlops run`, "
                "commit dvc.lock, and run again."
            )
        return self.git("rev-parse", "HEAD")

    def _judge(
        self,
        registry: Registry | None,
        environment: str,
        files: Path,
        source: Source,
        version: str | None = None,
        slices: bool = False,
    ) -> Verdict:
        """Ask the gate about the model in `files`, against what is live in the environment."""
        rules = policy.read_policy(self.root, environment)
        with tempfile.TemporaryDirectory() as name:
            champion = live_champion(self.git, self.storage, registry, environment, Path(name))
            known = Path(name) / TEST if champion else None
            found = gather(rules, files, source, champion, known, version=version)
            return judge(rules, found, slices=slices)

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

    def _asks(self, environment: str) -> GitHub | None:
        """GitHub, where the environment asks for an approval.

        Where origin is no GitHub, the word of whoever promotes has to do.
        """
        asks = policy.read_policy(self.root, environment).approval
        return GitHub.of(self.root) if asks else None

    def _approved(
        self, registry: Registry, environment: str, propose: bool
    ) -> tuple[str | None, Proposal | None]:
        """Who approved this promotion, or that a pull request must, and then which."""
        github = self._asks(environment)
        if github is None:
            return None, None
        run = os.environ.get("GITHUB_RUN_ID")
        if run is None:
            raise Refused(
                f"{environment} asks for an approval (gates.yaml), and only a run on GitHub can "
                "have one. Start it with `gh workflow run promote.yml -f version=VERSION -f "
                f"environment={environment}`."
            )
        live = registry.live(environment)
        if why := doubt(github, registry, environment):
            why = f"{live.version if live else ''} is live in {environment}, but {why}"
        elif who := approver(github, run, environment):
            return who, None
        else:
            why = f"nobody approved run {run} for {environment}: it has no required reviewers"
        if propose:
            return BY_PULL_REQUEST, Proposal(github, why)
        raise Refused(
            f"{why}, so nothing goes there unseen. With `--propose` the promotion becomes a pull "
            f"request that somebody else merges. {_LOOK}"
        )

    def _propose(
        self, registry: Registry, entry: EnvironmentRecord, verdict: Verdict, proposal: Proposal
    ) -> Outcome:
        branch = f"{PROPOSALS}{entry.environment}"
        subject = f"Promote {entry.environment}: {entry.version}"
        registry.propose(entry, subject, branch)
        body = (
            f"Merging this lets **{entry.version}** into **{entry.environment}**. It replaces "
            f"{entry.previous or 'nothing'}. Somebody else than {cell(entry.by)}, who asked "
            f"for it, has to merge it.\n\nWhy it is a pull request: {cell(proposal.why)}.\n\n"
            f"Run: {entry.run}\n\n{report.to_markdown(verdict)}"
        )
        url = propose(proposal.github, branch, subject, body)
        message = f"{entry.version} is proposed for {entry.environment}; merging {url} lets it in."
        return Outcome(entry.version, message, False, verdict)

    def _entry(
        self,
        registry: Registry,
        record: VersionRecord,
        environment: str,
        action: Literal["promote", "roll back"],
        reason: str | None,
        evidence: dict[str, Any],
    ) -> EnvironmentRecord:
        live = registry.live(environment)
        return EnvironmentRecord(
            environment=environment,
            version=record.version,
            action=action,
            approved_by=None,
            reason=reason,
            previous=live.version if live else None,
            model=record.model,
            evidence=evidence,
            **self._stamp("since"),
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
