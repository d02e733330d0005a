"""Which change brought the test set that a branch has, told from the history of dvc.lock.

Rows that a change of the model's code or parameters brought along judge nothing: whoever chose the
model chose them. They wait until a change of data alone brings them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gatewright.adapters.git import Git, GitError
from gatewright.errors import Refused, Undecided
from gatewright.paths import MODEL, TEST
from gatewright.pipeline.changes import is_harmless
from gatewright.pipeline.dvc_lock import parse_lock

RAW = "data/raw"
_ENVIRONMENT = ("uv.lock", "pyproject.toml")
MOST = 2000  # versions of dvc.lock, the newest, that are looked at: about a millisecond each


@dataclass(frozen=True)
class Step:
    """A change of the test set: its digests (md5) before and after.

    `data_alone` says whether nothing else that a model is made from changed with it.
    """

    before: str
    after: str
    data_alone: bool


@dataclass(frozen=True)
class Asked:
    """The models (md5) that were asked of a test set: that became versions, and that did not."""

    passed: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()

    def without(self, model: str | None) -> Asked:
        """To ask about the same model again is no other question."""
        return Asked(self.passed - {model}, self.failed - {model})


def made_by_data_alone(before: str, after: str) -> bool:
    """Whether two texts of dvc.lock differ in raw data, and in what was made from it, alone."""
    return _recipe(before) == _recipe(after)


def _recipe(text: str) -> tuple[Any, ...]:
    """What a lock says of code, parameters and commands."""
    lock = parse_lock(text)
    code = {
        path: digest
        for path, digest in lock.deps.items()
        if path not in lock.outs and path != RAW and not path.startswith(f"{RAW}/")
    }
    return code, lock.params, {name: stage.cmd for name, stage in lock.stages.items()}


def steps_since(git: Git, start: str, end: str) -> list[Step]:
    """The changes of the test set on the way from `start` to `end`, by first parents.

    A merged pull request is one step. Over a dvc.lock that names no test set, nothing was data
    alone.
    """
    last = digest_of_test(_locks(git, [start])[0])
    steps = []
    for commit in _changes_of_lock(git, f"{start}..{end}"):
        paths = ("dvc.lock", *_ENVIRONMENT)
        texts = git.blobs([f"{at}:{path}" for at in (f"{commit}^", commit) for path in paths])
        (old, *environment), (new, *other) = texts[:3], texts[3:]
        after = digest_of_test(new)
        if after is not None and last not in (None, after):
            known = digest_of_test(old) == last and environment == other
            alone = known and _can_tell(str(old), str(new)) and _only_data(git, commit, str(new))
            steps.append(Step(str(last), after, alone))
        last = after or last
    return steps


def _only_data(git: Git, commit: str, lock: str) -> bool:
    """Whether a commit changes raw data, what was made from it, and what makes no model.

    Git knows of parameters and code that no stage names, and dvc.lock does not.
    """
    words = ("diff-tree", "-r", "-z", "--no-renames", "--name-only", f"{commit}^", commit)
    made = {"dvc.lock", f"{RAW}.dvc", *parse_lock(lock).outs}
    return all(
        path in made or path.startswith((f"{RAW}/", "reports/")) or is_harmless(path)
        for path in git(*words).split("\0")
        if path and path not in _ENVIRONMENT
    )


def step_to(before: str | None, after: str | None) -> list[Step]:
    """The step to what no commit has yet: nobody merged it, so it brings nothing that judges."""
    if before is None or after is None or before == after:
        return []
    return [Step(before, after, False)]


def available(steps: Sequence[Step], there: Callable[[str], bool]) -> list[Step]:
    """The steps between test sets that can be had; over one that cannot, nothing was data alone."""
    joined: list[Step] = []
    for step in steps:
        if joined and not there(joined[-1].after):
            step = Step(joined.pop().before, step.after, False)
        joined.append(step)
    return joined


def asked_of(git: Git, end: str, versions: Iterable[str], until: str | None = None) -> Asked:
    """The models that this clone knows to have been asked of the test set of `end`.

    Each dvc.lock of any branch, tag or pull request that was fetched names one. Those whose test
    set is an earlier one of the branch were asked of that. `versions` are commits of versions.
    Commits after `until` (ISO 8601) do not count.
    """
    line = [text for text in _locks(git, _changes_of_lock(git, end)) if text]
    tests = [digest_of_test(text) for text in line]
    earlier: set[str | None] = set()
    for at in range(1, len(line)):
        if tests[at] != tests[at - 1] and _can_tell(line[at - 1], line[at]):
            earlier |= set(tests[:at])
    earlier -= set(tests[-1:])
    words = ["log", "--all", "--full-history", f"--max-count={MOST}", "--format=%H"]
    commits = git(*words, *([f"--until={until}"] if until else []), "--", "dvc.lock").split()
    asked, passed = (
        {model for test, model in map(_named, set(_locks(git, those))) if test not in earlier}
        for those in (commits, list(versions))
    )
    failed = asked - passed - {None}
    return Asked(frozenset(filter(None, passed)), frozenset(filter(None, failed)))


def _can_tell(before: str, after: str) -> bool:
    try:
        return made_by_data_alone(before, after)
    except Refused:
        return False


def digest_of_test(text: str | None) -> str | None:
    """The test set that a dvc.lock names, whoever wrote it; None if it names none."""
    return _named(text)[0]


def _named(text: str | None) -> tuple[str | None, str | None]:
    """The test set and the model that a dvc.lock names; what is no lock was never asked about."""
    try:
        outs = parse_lock(text).outs if text else {}
    except Refused:
        outs = {}
    return outs.get(TEST), outs.get(MODEL)


def _changes_of_lock(git: Git, revisions: str) -> list[str]:
    """The commits that changed dvc.lock, oldest first; a merge counts as one change."""
    try:
        if git("rev-parse", "--is-shallow-repository") == "true":
            raise GitError("the clone is a shallow one")
        words = ("rev-list", "--first-parent", "--reverse", revisions, "--", "dvc.lock")
        return git(*words).split()
    except GitError as error:
        raise Undecided(
            f"Which change brought the test rows cannot be told ({error}), so nothing is judged on "
            "them. In a workflow, check out with `fetch-depth: 0`; else `git fetch --unshallow`."
        ) from None


def _locks(git: Git, commits: Sequence[str]) -> list[str | None]:
    return git.blobs([f"{commit}:dvc.lock" for commit in commits]) if commits else []
