"""How long the model gate of a pull request takes, and where; writes benchmarks/workflows.md.

    uv run benchmarks/workflows.py

The jobs run one after the other, as `act` runs them here, with uv's cache warm; GitHub starts a
machine for each. Nothing else should run meanwhile. The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests/support"))

from acting import Walk, on_github  # noqa: E402
from projects import Project, bake, copy  # noqa: E402
from published import Description, fetch  # noqa: E402


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch(folder)
        published = Description(folder)
        live = prepare(folder / "live")
        told = [HEAD.format(cores=os.cpu_count(), machine=platform.machine())]
        missed = False
        for words, target, change in CASES:
            case = folder / f"case-{len(told)}"
            with on_github(copy(live, case), published) as github:
                github.branch("change")
                change(github.project)
                said("push and walk", words)
                start = time.perf_counter()
                walk = github.pull_request()
                seconds = time.perf_counter() - start
            assert walk.status == 0, walk.end
            missed |= target is not None and seconds > target
            told.append(table(words, target, seconds, walk))
    (HERE / "workflows.md").write_text("\n".join(told))
    print("\n".join(told))
    return int(missed)


def prepare(folder: Path) -> Project:
    """1.0.0 is live in every environment."""
    said("generate, train and promote")
    root = bake(folder)
    project = Project(root, root / ".venv")
    project.git("init", "--quiet", "--bare", "-b", "main", str(project.origin))
    project.git("remote", "add", "origin", str(project.origin))
    project.git("push", "--quiet", "-u", "origin", "main", "dvc-storage")
    project.mlops("run")
    project.commit("Train the first model")
    project.mlops("register")
    for environment in ("dev", "staging", "production"):
        project.mlops("promote", "1.0.0", "--to", environment)
    project.git("push", "--quiet", "origin", "main")
    return project


def words_only(project: Project) -> None:
    (project.root / "docs/notes.md").write_text("Words.\n")


def parameter(project: Project) -> None:
    project.edit("params.yaml", "max_iter: 100", "max_iter: 110")
    project.mlops("run")


def stored(project: Project) -> None:
    parameter(project)
    project.mlops("push")


CASES: tuple[tuple[str, float | None, Callable[[Project], None]], ...] = (
    ("changes words only", 25, words_only),
    ("changes a parameter, trained and stored", 120, stored),
    ("changes a parameter, which the gate has to train", 120, parameter),
)
HEAD = """\
# The model gate of a pull request

By `uv run benchmarks/workflows.py`, on {cores} cores, {machine}; uv's cache warm, jobs one after
the other. The total holds what lies between the steps too.
"""


def table(words: str, target: float | None, seconds: float, walk: Walk) -> str:
    aim = f", target {target:g} s" if target else ""
    rows = [f"## One that {words}: {seconds:.1f} s{aim}", "", "| job | step | s |", "|---|---|---|"]
    rows += [
        f"| {job} | {step.removeprefix('uv run --locked ')} | {took:.1f} |"
        for job, step, took in walk.steps
        if took >= 0.1
    ]
    return "\n".join([*rows, ""])


def said(*words: str) -> None:
    print(": ".join(words), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
