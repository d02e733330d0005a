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
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from mlops.artefacts.files import parse_yaml, text_digest, to_yaml
from mlops.artefacts.git import REMOTE, Git, GitError
from mlops.artefacts.keys import registry_key
from mlops.artefacts.model import MODEL
from mlops.artefacts.signing import verify
from mlops.artefacts.storage import REFSPEC as STORAGE_REFSPEC
from mlops.artefacts.storage import StoredFile
from mlops.errors import Misuse, Refused

BRANCH = "registry"
TIP = f"refs/mlops/{REMOTE}/{BRANCH}"
SEEN = "refs/mlops/seen"
REFSPECS = (
    f"+refs/heads/{BRANCH}*:{TIP}*",
    f"+refs/tags/v*:refs/mlops/{REMOTE}/tags/v*",
    STORAGE_REFSPEC,
)
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Lost(Exception):
    """Somebody else's event came first; verify again."""


@dataclass(frozen=True)
class VersionRecord:
    """What a version is. Digests are sha256 but for `data`, which holds DVC's md5.

    `golden` holds requests with the answers that the model gave when it was registered.
    """

    version: str
    created: str
    by: str
    run: str | None
    commit: str
    because: list[str]
    contract: str
    pipeline: str
    environment_lock: str | None
    data: dict[str, str]
    files: list[dict[str, Any]]
    metrics: dict[str, Any]
    verdict: dict[str, Any]
    golden: list[dict[str, Any]]
    slices: dict[str, Any] | None = None
    signature: dict[str, str] | None = None

    @property
    def statement(self) -> dict[str, Any]:
        """What is signed: all that the record says but the signature, as it is read back."""
        values = parse_yaml(to_yaml(asdict(self)), "record")
        return {n: v for n, v in values.items() if n != "signature" and v is not None}

    @property
    def stored(self) -> tuple[StoredFile, ...]:
        return tuple(StoredFile(**item) for item in self.files)

    @property
    def model(self) -> str:
        """The digest that the environments agree on."""
        return str(next(file.sha256 for file in self.stored if file.path == MODEL))


@dataclass(frozen=True)
class EnvironmentRecord:
    """What is live in an environment since when, and on what evidence."""

    environment: str
    version: str
    action: Literal["promote", "roll back"]
    since: str
    by: str
    run: str | None
    approved_by: str | None
    reason: str | None
    previous: str | None
    model: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class RetirementRecord:
    version: str
    since: str
    by: str
    run: str | None
    reason: str


Record = VersionRecord | EnvironmentRecord | RetirementRecord
R = TypeVar("R", bound=Record)
_KINDS: dict[str, type[Record]] = {
    "versions": VersionRecord,
    "environments": EnvironmentRecord,
    "retired": RetirementRecord,
}


def order(version: str) -> tuple[int, ...]:
    if not _VERSION.fullmatch(version):
        raise Misuse(f"'{version}' is no version; a version looks like 1.4.0. See `mlops status`.")
    return tuple(map(int, version.split(".")))


def path_of(record: Record) -> str:
    if isinstance(record, EnvironmentRecord):
        return f"environments/{record.environment}.yaml"
    return f"{'versions' if isinstance(record, VersionRecord) else 'retired'}/{record.version}.yaml"


class Registry:
    """The registry as origin has it at the last `fetch`."""

    def __init__(self, root: Path) -> None:
        self.git = Git(root)
        self.tip: str | None = None

    def fetch(self) -> Registry:
        """Read origin's registry and storage; refuse one whose history was rewritten."""
        self.git.fetch(*REFSPECS)
        tip, seen = self.git.sha(TIP), self.git.sha(SEEN)
        if seen and (tip is None or not self.git.ok("merge-base", "--is-ancestor", seen, tip)):
            raise Refused(
                "The branch registry on origin was rewritten or removed: it does not hold "
                f"{seen[:12]}, which was seen before. Nothing in it is trusted. Find out who did "
                f"it; `git push {REMOTE} {SEEN}:refs/heads/{BRANCH}` restores what was seen, if "
                f"nothing was added since; if the new history is right, `git update-ref -d {SEEN}`."
            )
        self.tip = tip
        paths = self.git("ls-tree", "-r", "--name-only", tip).splitlines() if tip else []
        self.paths = frozenset(paths)
        for tagged in self._tagged():
            if f"versions/{tagged}.yaml" not in self.paths:
                raise Refused(
                    f"The tag v{tagged} says that {tagged} was registered, and the registry does "
                    "not know it: the branch registry was rewritten. Restore it from a clone that "
                    f"has `{SEEN}`."
                )
        if tip:
            self.git("update-ref", SEEN, tip)
        return self

    def _tagged(self) -> list[str]:
        prefix = f"refs/mlops/{REMOTE}/tags/v"
        names = self.git("for-each-ref", "--format=%(refname)", prefix + "*").splitlines()
        return [n.removeprefix(prefix) for n in names if _VERSION.fullmatch(n.removeprefix(prefix))]

    @property
    def versions(self) -> list[str]:
        """All version numbers, oldest first."""
        paths = (Path(path) for path in self.paths if path.startswith("versions/"))
        return sorted((path.stem for path in paths), key=order)

    def _find(self, path: str, kind: type[R]) -> R | None:
        if path not in self.paths:
            if self.tip and self._blobs(path):
                raise Refused(
                    f"{path} was removed from the registry, which no command does, so nothing is "
                    f"decided. Find out who did it with `git log {TIP} -- {path}`, and revert that "
                    "commit on the branch registry."
                )
            return None
        (record,) = _records(self.git, [(self.tip or "", path)])
        return record if isinstance(record, kind) else None

    def version(self, version: str) -> VersionRecord:
        """The record of a version, if it is the one that was first written and its tag names.

        A signature that it has is verified. Raises Refused otherwise.
        """
        order(version)
        path = f"versions/{version}.yaml"
        record = self._find(path, VersionRecord)
        if record is None:
            known = ", ".join(self.versions[-5:]) or "none"
            raise Refused(f"There is no version {version}. The newest are: {known}.")
        try:
            tag = self.git("cat-file", "tag", f"refs/mlops/{REMOTE}/tags/v{version}")
        except GitError:
            tag = "none"
        told = text_digest(self.git.show(self.tip or "", path))
        if f"record {told}" not in tag or f"object {record.commit}" not in tag:
            raise Refused(
                f"The record of {version} is not the one that its tag v{version} was made for: one "
                f"of them was changed or removed. Compare the tag with `git log {TIP} -- {path}`."
            )
        blobs = self._blobs(path)
        if blobs[-1] != blobs[0]:
            raise Refused(
                f"There were two versions {version}: its record was written over, and so was its "
                f"tag. Neither is trusted. `git log -p {TIP} -- {path}` shows both; restore the "
                "first one and its tag."
            )
        if record.signature is not None:
            verify(self.git.root, record.statement, record.signature, f"Version {version}")
        return record

    def usable(self, version: str) -> VersionRecord:
        """The record of a version that was not retired."""
        record = self.version(version)
        if gone := self.retirement(version):
            raise Refused(f"{version} was retired on {gone.since} by {gone.by}: {gone.reason}")
        return record

    def made_from(self, contract: str, pipeline: str) -> str | None:
        """The newest version with these digests, if there is one."""
        paths = [(self.tip or "", f"versions/{version}.yaml") for version in self.versions]
        records = _records(self.git, paths)
        for record in reversed([r for r in records if isinstance(r, VersionRecord)]):
            if (record.contract, record.pipeline) == (contract, pipeline):
                return self.version(record.version).version
        return None

    def live(self, environment: str) -> EnvironmentRecord | None:
        """What is live. Raises Refused if an old record was put back, or one does not follow."""
        path = f"environments/{environment}.yaml"
        record = self._find(path, EnvironmentRecord)
        if record is None:
            return None
        blobs = self._blobs(path)
        told = list(dict.fromkeys(blobs))  # each record when it first came
        others = map(self._version_in, reversed(told[:-1]))
        before = next((version for version in others if version != record.version), None)
        why = ""
        if blobs[-1] != told[-1]:
            why = "it was written once before, and newer ones came after it"
        elif record.previous != before:
            why = f"it says that {record.previous or 'nothing'} was live before, where "
            why += f"{before or 'nothing'} was"
        if why:
            raise Refused(
                f"The record of what is live in {environment} was put there by no command: {why}. "
                f"Nothing is decided on it. Find out who did it with `git log -p {TIP} -- {path}`, "
                "and revert that commit on the branch registry."
            )
        return record

    def retirement(self, version: str) -> RetirementRecord | None:
        return self._find(f"retired/{version}.yaml", RetirementRecord)

    def history(self, environment: str | None = None) -> list[Record]:
        """Every event, oldest first; with an environment, the events of that environment."""
        places = self._places(f"environments/{environment}.yaml" if environment else "")
        return _records(self.git, places)

    def events(self, environment: str) -> list[tuple[str, EnvironmentRecord]]:
        """As `history`, each with the commit that brought it; not the merge of a proposal."""
        places = self._places(f"environments/{environment}.yaml")
        records = _records(self.git, places)
        commits = (commit for commit, _ in places)
        pairs = zip(commits, records, strict=True)
        return [(c, record) for c, record in pairs if isinstance(record, EnvironmentRecord)]

    def _blobs(self, path: str) -> list[str]:
        """What a file of the registry held, oldest first, as Git names it."""
        words = ("log", "--reverse", "--topo-order", "--diff-filter=AM", "--raw", "--no-abbrev")
        lines = self.git(*words, "--format=", self.tip or "", "--", path).splitlines()
        return [line.split()[3] for line in lines if line.startswith(":")]

    def _version_in(self, blob: str) -> str | None:
        (text,) = self.git.blobs([blob])
        return parse_yaml(text or "", "registry").get("version")

    def _places(self, path: str) -> list[tuple[str, str]]:
        """Commit and path of every event, oldest first; with a path, of that file."""
        if self.tip is None:
            return []
        log = self.git(
            "log", "--reverse", "--topo-order", "--diff-filter=AM", "--name-only",
            "--format=%x01%H", self.tip, "--", *([path] if path else ()),
        )  # fmt: skip
        places = []
        for chunk in log.split("\x01")[1:]:
            commit, *paths = chunk.split()
            places += [(commit, path) for path in paths]
        return places

    def write(self, record: Record, subject: str, tag: tuple[str, str] | None = None) -> None:
        """Add one event on origin, whole or not at all. Raises Lost if another came first.

        `tag` is (name, commit): an annotated tag on the code, pushed in the same transaction.
        """
        text = to_yaml(asdict(record))
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
            with registry_key(self.git.root) as env:
                self.git("push", "--quiet", "--atomic", REMOTE, *updates, env=env)
        except GitError as error:
            raise Lost(str(error)) from None
        self.git("update-ref", SEEN, commit)

    def propose(self, record: Record, subject: str, branch: str) -> None:
        """Push the event to a branch of its own, for a pull request to the registry."""
        commit = self._commit(record, to_yaml(asdict(record)), subject)
        with registry_key(self.git.root) as env:
            self.git("push", "--quiet", "--force", REMOTE, f"{commit}:refs/heads/{branch}", env=env)

    def _commit(self, record: Record, text: str, subject: str) -> str:
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


def _records(git: Git, places: list[tuple[str, str]]) -> list[Record]:
    records: list[Record] = []
    texts = git.blobs([f"{commit}:{path}" for commit, path in places]) if places else []
    for (_, path), text in zip(places, texts, strict=True):
        kind = _KINDS.get(path.partition("/")[0])
        if kind is None or text is None:
            raise Refused(f"The registry holds {path}, which no command writes; look at its log.")
        value = parse_yaml(text, f"registry:{path}")
        known = {field.name for field in fields(kind)}
        needed = {field.name for field in fields(kind) if field.default is MISSING}
        if not needed <= set(value) <= known:
            raise Refused(f"registry:{path} does not hold the fields of a record; it was edited.")
        record = kind(**value)
        if path_of(record) != path:
            raise Refused(f"registry:{path} is the record of something else; it was edited.")
        records.append(record)
    return records
