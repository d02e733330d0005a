"""The registry: a branch of plain files, one commit an event, never rewritten.

    versions/1.4.0.yaml           what a version is; never changed
    environments/production.yaml  what is live there now
    retired/1.4.0.yaml            why a version may not be promoted any more

An event is one commit on top of what origin has, pushed without force. Git lets exactly one of
two pushes win, so there is no lock and no server.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from gatewright.adapters.dvc import Storage
from gatewright.adapters.files import text_digest
from gatewright.adapters.git import REMOTE, Git, GitError
from gatewright.adapters.git_storage import REFSPEC as STORAGE_REFSPEC
from gatewright.adapters.signing import verify
from gatewright.errors import Refused
from gatewright.registry.event_log import Event, JudgedEvent, judge_events, judge_last
from gatewright.registry.records import (
    VERSION,
    EnvironmentRecord,
    Record,
    RetirementRecord,
    VersionRecord,
    order,
    parse_record,
    path_of,
    record_text,
)

BRANCH = "registry"
REFS = "refs/mlops"
TIP = f"{REFS}/{REMOTE}/{BRANCH}"
TAGS = f"{REFS}/{REMOTE}/tags/v"
SEEN = f"{REFS}/seen"
_RECORD = re.compile(r"^record [0-9a-f]{64}$", re.MULTILINE)
REFSPECS = (
    f"+refs/heads/{BRANCH}*:{TIP}*",
    f"+refs/tags/v*:refs/mlops/{REMOTE}/tags/v*",
)


class PushRefused(Exception):
    """The push of an event was refused: most often another came first. Verify again."""


class Registry:
    """The registry as origin has it at the last `fetch`."""

    def __init__(self, root: Path, git: Git | None = None) -> None:
        self.git = git or Git(root)
        self.tip: str | None = None
        self.files: dict[str, list[Event]] = {}
        self.foreign_tags: frozenset[str] = frozenset()  # numbers of tags that no command made
        self._texts: dict[str, str | None] = {"": None}  # by Git's name of the content
        self._records: dict[tuple[str, str | None], Record] = {}  # by path and content
        self._tags: dict[str, str] = {}  # Git's name of each version's annotated tag
        self._tag_texts: dict[str, str | None] | None = None

    def fetch(self, *more: str) -> Registry:
        """Read origin's registry; refuse one whose history was rewritten.

        `more` is fetched with it. Data is not: who only reads records downloads none.
        """
        self.git.fetch(*REFSPECS, *more)
        refs = self._refs()
        tip, _ = refs.get(TIP, (None, ""))
        seen, _ = refs.get(SEEN, (None, ""))
        if seen not in (None, tip) and not self._holds(tip, seen):
            raise Refused(
                "The branch registry on origin was rewritten or removed: it does not hold "
                f"{seen[:12]}, which was seen before. Nothing in it is trusted. Find out who did "
                f"it; `git push {REMOTE} {SEEN}:refs/heads/{BRANCH}` restores what was seen, if "
                f"nothing was added since; if the new history is right, `git update-ref -d {SEEN}`."
            )
        self.tip = tip
        self.files = self._files(tip) if tip else {}
        tags = {
            ref.removeprefix(TAGS): (name, kind)
            for ref, (name, kind) in refs.items()
            if ref.startswith(TAGS) and VERSION.fullmatch(ref.removeprefix(TAGS))
        }
        unknown = tags.keys() - set(self.versions)
        if gone := sorted(self._made_here({version: tags[version] for version in unknown})):
            raise Refused(
                f"The tag v{gone[0]} says that {gone[0]} was registered, and the registry "
                "does not know it: the branch registry was rewritten. Restore it from a clone "
                f"that has `{SEEN}`."
            )
        self.foreign_tags = frozenset(unknown)
        self._tags = {version: name for version, (name, kind) in tags.items() if kind == "tag"}
        if tip and tip != seen:
            self.git("update-ref", SEEN, tip)
        return self

    def _made_here(self, tags: dict[str, tuple[str, str]]) -> set[str]:
        """Which tags a command made: annotated, they name a record by its digest."""
        named = {version: name for version, (name, kind) in tags.items() if kind == "tag"}
        texts = self.git.blobs(list(named.values())) if named else []
        pairs = zip(named, texts, strict=True)
        return {version for version, text in pairs if text and _RECORD.search(text)}

    def _refs(self) -> dict[str, tuple[str, str]]:
        """By reference what it points to, as Git names it, and of which type that is."""
        form = "--format=%(refname) %(objectname) %(objecttype)"
        lines = [line.split(" ") for line in self.git("for-each-ref", form, REFS).splitlines()]
        return {ref: (name, kind) for ref, name, kind in lines}

    def _holds(self, tip: str | None, seen: str) -> bool:
        """Whether what was seen before is still part of the history."""
        return tip is not None and self.git.ok("merge-base", "--is-ancestor", seen, tip)

    def _files(self, tip: str) -> dict[str, list[Event]]:
        """The events of each file, oldest first; of a merge what is in none of its parents."""
        commits = self.git("rev-list", "--reverse", "--topo-order", tip)
        words = ("--stdin", "--root", "-r", "-c", "--no-renames", "--no-abbrev")
        events: list[Event] = []
        commit = ""
        for line in self.git("diff-tree", *words, stdin=commits + "\n").splitlines():
            if not line.startswith(":"):
                commit = line
                continue
            change, path = line.split("\t", 1)
            parents = len(change) - len(change.lstrip(":"))
            content = change.split()[2 * parents + 1]
            events.append(Event(len(events), commit, path, content if content.strip("0") else None))
        files: dict[str, list[Event]] = {}
        for event in events:
            files.setdefault(event.path, []).append(event)
        tree = [line.split("\t", 1) for line in self.git("ls-tree", "-r", tip).splitlines()]
        there = {path: entry.split()[2] for entry, path in tree}
        for path in sorted(files.keys() | there.keys()):  # a merge may have dropped what it merged
            of_path = files.setdefault(path, [])
            if (of_path[-1].content if of_path else None) != there.get(path):
                of_path.append(Event(len(events), tip, path, there.get(path)))
        return files

    @property
    def versions(self) -> list[str]:
        """All version numbers, oldest first."""
        return sorted(self._numbers(lambda events: events[-1].content is not None), key=order)

    @property
    def commits(self) -> list[str]:
        """The commits that versions were made from, as their tags name them, oldest first."""
        words = ("--sort=version:refname", "--format=%(refname) %(*objectname)", TAGS + "*")
        lines = [line.split(" ") for line in self.git("for-each-ref", *words).splitlines()]
        known = set(self._tags)
        return [to for ref, to in lines if to and ref.removeprefix(TAGS) in known]

    @property
    def used(self) -> frozenset[str]:
        """All version numbers that were ever written, or that a tag of somebody else has taken."""
        return frozenset(self._numbers(bool)) | self.foreign_tags

    def _numbers(self, chosen: Callable[[list[Event]], bool]) -> list[str]:
        paths = [Path(path) for path, events in self.files.items() if chosen(events)]
        numbers = [path.stem for path in paths if path.parent == Path("versions")]
        return [number for number in numbers if VERSION.fullmatch(number)]

    def version(self, version: str) -> VersionRecord:
        """The record of a version, if it is the one that was first written and its tag names.

        A signature that it has is verified. Raises Refused otherwise.
        """
        order(version)
        path = f"versions/{version}.yaml"
        judged = self._last(path)
        if judged is None or not isinstance(record := judged.record, VersionRecord):
            known = ", ".join(self.versions[-5:]) or "none"
            raise Refused(f"There is no version {version}. The newest are: {known}.")
        tag = self._tag(version)
        digest = text_digest(self._text(judged.event) or "")
        if f"record {digest}" not in tag or f"object {record.commit}" not in tag:
            raise Refused(
                f"The record of {version} is not the one that its tag v{version} was made for: one "
                f"of them was changed or removed. Compare the tag with `git log {TIP} -- {path}`."
            )
        if record.signature is not None:
            verify(self.git.root, record.statement, record.signature, f"Version {version}")
        return record

    def _tag(self, version: str) -> str:
        """What the annotated tag of a version says, empty without one; all are read at once."""
        if self._tag_texts is None:
            texts = self.git.blobs(list(self._tags.values()))
            self._tag_texts = dict(zip(self._tags, texts, strict=True))
        return self._tag_texts.get(version) or ""

    def usable(self, version: str) -> VersionRecord:
        """The record of a version that was not retired."""
        record = self.version(version)
        if gone := self.retirement(version):
            raise Refused(f"{version} was retired on {gone.since} by {gone.by}: {gone.reason}")
        return record

    def made_from(self, contract: str, pipeline: str) -> str | None:
        """The newest version with these digests, if there is one."""
        paths = [f"versions/{version}.yaml" for version in self.versions]
        self._load([self.files[path][-1] for path in paths])
        records = [self._read(self.files[path][-1]) for path in reversed(paths)]
        for record in records:
            asked = (contract, pipeline)
            if isinstance(record, VersionRecord) and (record.contract, record.pipeline) == asked:
                return self.version(record.version).version
        return None

    def live(self, environment: str) -> EnvironmentRecord | None:
        """What is live. Raises Refused if no command wrote what its file says."""
        self._load_newest("environments/")
        judged = self._last(f"environments/{environment}.yaml")
        record = judged.record if judged else None
        return record if isinstance(record, EnvironmentRecord) else None

    def retirement(self, version: str) -> RetirementRecord | None:
        """Why a version was retired, if it was: that stays so, whatever became of the file."""
        path = f"retired/{version}.yaml"
        for judged in judge_events(self.files.get(path, []), self._read):
            if isinstance(judged.record, RetirementRecord):
                return judged.record
        self._last(path)
        return None

    def _last(self, path: str) -> JudgedEvent | None:
        """What a file of the registry says. Raises Refused if no command wrote it so."""
        if path not in self.files:
            return None
        judged = judge_last(self.files[path], self._read)
        if judged.state == "passed over":
            raise Refused(self.complaint(judged))
        return judged

    @staticmethod
    def complaint(judged: JudgedEvent) -> str:
        """What to say of a file whose last event does not hold."""
        path = judged.event.path
        return (
            f"{path} in the registry is not what a command wrote: {judged.why}. Nothing is decided "
            f"on it. Find out who did it with `git log -p {TIP} -- {path}`, and revert commit "
            f"{judged.event.commit[:12]} on the branch registry."
        )

    def judged(self, environment: str | None = None) -> list[JudgedEvent]:
        """Every event, oldest first, and whether it holds; of an environment, those of its file."""
        only = f"environments/{environment}.yaml"
        files = [
            events for path, events in self.files.items() if environment is None or path == only
        ]
        self._load([event for events in files for event in events])
        judged = [each for events in files for each in judge_events(events, self._read)]
        return sorted(judged, key=lambda each: each.event.number)

    def history(self, environment: str | None = None) -> list[Record]:
        """The records of the events that hold, oldest first."""
        judged = self.judged(environment)
        return [each.record for each in judged if each.state == "holds" and each.record]

    def events(self, environment: str) -> list[tuple[str, EnvironmentRecord]]:
        """As `history`, each with the commit that brought it; not the merge of a proposal."""
        return [
            (each.event.commit, each.record)
            for each in self.judged(environment)
            if each.state == "holds" and isinstance(each.record, EnvironmentRecord)
        ]

    def _read(self, event: Event) -> Record:
        key = event.path, event.content
        if key not in self._records:
            self._records[key] = parse_record(event.path, self._text(event))
        return self._records[key]

    def _text(self, event: Event) -> str | None:
        self._load([event])
        return self._texts[event.content or ""]

    def _load(self, events: list[Event]) -> None:
        """Get the contents of events from Git, all at once."""
        if names := sorted({event.content or "" for event in events} - self._texts.keys()):
            self._texts |= dict(zip(names, self.git.blobs(names), strict=True))

    def _load_newest(self, folder: str) -> None:
        """Get what decides which record of each file in a folder holds: most often the last two."""
        files = [events for path, events in self.files.items() if path.startswith(folder)]
        self._load([event for events in files for event in events[-2:]])

    def write(self, record: Record, subject: str, tag: tuple[str, str] | None = None) -> None:
        """Add one event on origin, whole or not at all. Raises PushRefused if another came first.

        `tag` is (name, commit): an annotated tag on the code, pushed in the same transaction.
        """
        text = record_text(record)
        commit = self._commit(record, text, subject)
        updates = [f"{commit}:refs/heads/{BRANCH}"]
        if tag:
            name, target = tag
            stamp = self.git("var", "GIT_COMMITTER_IDENT")
            body = (
                f"object {target}\ntype commit\ntag {name}\ntagger {stamp}\n\n"
                f"{subject}\n\nrecord {text_digest(text)}\n"
            )
            updates.append(f"{self.git('mktag', stdin=body)}:refs/tags/{name}")
        try:
            self._push("--atomic", *updates)
        except GitError as error:
            raise PushRefused(str(error)) from None
        self.git("update-ref", SEEN, commit)

    def propose(self, record: Record, subject: str, branch: str) -> None:
        """Push the event to a branch of its own, for a pull request to the registry."""
        commit = self._commit(record, record_text(record), subject)
        self._push("--force", f"{commit}:refs/heads/{branch}")

    def _push(self, option: str, *updates: str) -> None:
        # Imported only here: who reads the registry asks GitHub nothing.
        from gatewright.adapters.deploy_key import registry_key

        with registry_key(self.git.root) as env:
            self.git("push", "--quiet", option, REMOTE, *updates, env=env)

    def _commit(self, record: Record, text: str, subject: str) -> str:
        _readable(record, text)
        blob = self.git("hash-object", "-w", "--stdin", stdin=text)
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            if self.tip:
                self.git("read-tree", self.tip, env=index)
            entry = f"100644,{blob},{path_of(record)}"
            self.git("update-index", "--add", "--cacheinfo", entry, env=index)
            tree = self.git("write-tree", env=index)
        parents = ["-p", self.tip] if self.tip else []
        return self.git("commit-tree", tree, *parents, "-m", subject)


def fetch_registry(root: Path, storage: Storage) -> Registry:
    """The registry as origin has it, and the storage of the same fetch. The caller is alone."""
    registry = Registry(root, storage.git).fetch(
        *([STORAGE_REFSPEC] if storage.branch.embedded else [])
    )
    storage.branch.sync(fetch=False)
    return registry


def _readable(record: Record, text: str) -> None:
    """Refuse to write what nobody could read again: the environment would be stuck."""
    try:
        text.encode()
        again = record_text(parse_record(path_of(record), text))
    except (Refused, UnicodeEncodeError) as error:
        again = str(error)
    if again != text:
        raise Refused(
            f"The record {path_of(record)} could not be read again, so nothing was written. Use "
            "plain words for the reason, and run again."
        )
