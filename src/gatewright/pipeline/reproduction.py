"""Is a model what its code, parameters and data give? Stages run again, in a clone of their own.

Neither DVC's cache nor what it remembers of runs vouches for an output: the inputs of a stage are
verified by digest, its commands run, and what they wrote is hashed here. A clone holds what is
committed and the inputs that dvc.lock names, so nothing that only lies on a machine is read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Literal

from gatewright.adapters.commands import run_command
from gatewright.adapters.files import remove, replace_with
from gatewright.adapters.git import Git
from gatewright.errors import Refused
from gatewright.pipeline.dvc_lock import Lock, LockedStage
from gatewright.pipeline.work_tree import WorkTree

Say = Callable[[str], None]
Reproduce = Literal["always", "attested"]  # how an output is proven to follow from its inputs
ATTESTED = "`reproduce: attested` in gates.yaml (`mlops explain reproduce`)"


class Why(StrEnum):
    """Why an output is not proven to follow from its inputs."""

    NO_INPUT = "an input is not there, or another one"
    FAILS = "the stage fails"
    OTHER = "the stage gives other bytes, each time the same"
    VARIES = "the stage gives other bytes each time"


@dataclass(frozen=True)
class Problem:
    """Why an output is not proven to follow from its inputs, and the sentence for people."""

    why: Why
    words: str


@dataclass(frozen=True)
class Reproduction:
    """What running stages again showed.

    stages: those that ran, in their order. folder: the clone with what they wrote.
    """

    folder: Path
    stages: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def words(self) -> list[str]:
        return [problem.words for problem in self.problems]

    @property
    def mendable(self) -> bool:
        """Whether dvc.lock is wrong, and what the stages wrote is what it should name."""
        return bool(self.problems) and {problem.why for problem in self.problems} == {Why.OTHER}


# Which stages, in which order


def changed_stages(lock: Lock, proven: Lock | None) -> list[str]:
    """The stages whose commands, inputs, parameters or outputs are not those of a proven lock."""
    known = proven.stages if proven else {}
    return [name for name, stage in lock.stages.items() if known.get(name) != stage]


def needed_for(lock: Lock, outputs: Iterable[str]) -> set[str]:
    """The stages that these outputs come from, however indirectly."""
    found: set[str] = set()
    todo = [name for name, stage in lock.stages.items() if _overlap(stage.outs, outputs)]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _sources(lock.stages, name)
    return found


def in_order(lock: Lock, names: Collection[str]) -> list[str]:
    """The stages, each after those whose outputs it reads. Raises Refused for a circle."""
    sorter = TopologicalSorter(
        {name: [s for s in _sources(lock.stages, name) if s in names] for name in sorted(names)}
    )
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise Refused(
            f"dvc.lock: the stages {', '.join(sorted(set(error.args[1])))} read each other's "
            "outputs in a circle, so none can be first. Run `uv run mlops run` to make it again."
        ) from None


def _sources(stages: Mapping[str, LockedStage], name: str) -> list[str]:
    """The stages whose outputs a stage reads."""
    deps = stages[name].deps
    return [other for other in stages if other != name and _overlap(stages[other].outs, deps)]


def _overlap(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether a path of one is, holds, or lies in a path of the other."""
    paths = [PurePosixPath(path) for path in others]
    return any(
        one.is_relative_to(other) or other.is_relative_to(one)
        for one in map(PurePosixPath, some)
        for other in paths
    )


# Running them


@contextmanager
def reproduce_stages(
    root: Path,
    lock: Lock,
    names: Collection[str],
    get: Callable[[list[str]], None],
    say: Say,
) -> Iterator[Reproduction]:
    """Run stages of HEAD again and compare every output with the digest that `lock` names.

    `get` puts paths of the pipeline into the work tree of `root`, as far as storage has them. A
    stage that gives other bytes is run twice, to tell a lock that is wrong from a training that
    is not deterministic. Nothing in `root` changes but what `get` puts there.
    """
    ordered = in_order(lock, names)
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        Git(root)("clone", "--quiet", "--shared", str(root.resolve()), str(clone))
        problems = _bring_inputs(root, clone, lock, ordered, get)
        done: list[str] = []
        for number, stage in enumerate(ordered, 1):
            if problems:
                break
            say(f"{number}/{len(ordered)} build again: {stage}")
            problems = _build(clone, stage, lock.stages[stage], say)
            done.append(stage)
        yield Reproduction(clone, tuple(done), tuple(problems))


def _bring_inputs(
    root: Path, clone: Path, lock: Lock, names: Sequence[str], get: Callable[[list[str]], None]
) -> list[Problem]:
    """Copy into the clone what the stages read and do not make; what is not as dvc.lock says."""
    made = {path for name in names for path in lock.stages[name].outs}
    wanted = {
        path: md5
        for name in names
        for path, md5 in lock.stages[name].deps.items()
        if not _overlap([path], made)
    }
    wanted = {path: md5 for path, md5 in wanted.items() if path_digest(clone, path) != md5}
    if absent := [path for path, md5 in wanted.items() if path_digest(root, path) != md5]:
        get(absent)
    problems = []
    for path, md5 in wanted.items():
        if (root / path).exists():
            replace_with(root / path, clone / path)
            for hidden in WorkTree(clone).hidden_in(path):  # DVC stores none of it
                remove(clone / hidden)
        if (found := path_digest(clone, path)) != md5:
            words = (
                f"the input {path} is {_short(found)}, where dvc.lock says {md5[:12]}: run "
                "`uv run mlops push` on the machine that has it"
            )
            problems.append(Problem(Why.NO_INPUT, words))
    return problems


def _build(clone: Path, name: str, stage: LockedStage, say: Say) -> list[Problem]:
    """Run one stage; why it does not give what dvc.lock names."""
    first = _run(clone, stage)
    if isinstance(first, str):
        return [Problem(Why.FAILS, f"{name} cannot be built again: {first}")]
    wrong = [path for path, md5 in stage.outs.items() if first[path] != md5]
    if not wrong:
        return []
    say(f"{', '.join(wrong)}: other bytes than dvc.lock names. Once more, to see if they vary")
    second = _run(clone, stage)
    again = {path: second.get(path) if isinstance(second, dict) else None for path in wrong}
    return [_difference(name, path, stage.outs[path], first[path], again[path]) for path in wrong]


def _difference(
    name: str, path: str, locked: str, first: str | None, second: str | None
) -> Problem:
    if first == second:
        words = f"{path} is not what {name} gives: built again, it is {_short(first)}, where "
        return Problem(Why.OTHER, f"{words}dvc.lock says {locked[:12]}")
    words = f"{name} is not deterministic: built twice, {path} is {_short(first)} and "
    mend = f"{_short(second)}. Fix its seeds and its order, or choose {ATTESTED}"
    return Problem(Why.VARIES, f"{words}{mend}")


def _run(clone: Path, stage: LockedStage) -> dict[str, str | None] | str:
    """The digests of what a stage writes, or why it could not be run."""
    for path in stage.outs:
        remove(clone / path)
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
    for command in stage.commands:
        if status := run_command(command, clone):
            return f"`{command}` ended with status {status}; its message stands in the log"
    return {path: path_digest(clone, path) for path in stage.outs}


# Files


def path_digest(root: Path, path: str) -> str | None:
    """The digest by which DVC names a file or folder now; None for what is not there, or a link."""
    return None if (root / path).is_symlink() else WorkTree(root).digest(path)


def _short(md5: str | None) -> str:
    return md5[:12] if md5 else "not there"
