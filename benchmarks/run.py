"""Measure a generated project against its targets, and write benchmarks/results.md.

    make benchmark

Whatever is compared is measured side by side in this one run; nothing else should run meanwhile.
Takes about half an hour. The exit status is 1 if a target is missed.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["cookiecutter>=2.7.1,<3", "gto==1.10.1"]
# ///

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cookiecutter.main import cookiecutter

HERE = Path(__file__).parent
TEMPLATE = HERE.parent
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
} | {
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@example.com",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@example.com",
}
PAIRS = 200
MOST_MB = 1500
EVENTS = """
from pathlib import Path
from dataclasses import replace
from gatewright.registry.git_registry import Registry
root = Path(".")
registry = Registry(root).fetch()
first, live = registry.version("1.0.0"), registry.live("dev")
count = len(registry.history())
number = 0
while count < 1000:
    registry.fetch()
    number += 1
    version = f"1.{number}.0"
    made = replace(first, version=version, pipeline=f"{number:064}")
    registry.write(made, f"Register {version}", tag=(f"v{version}", first.commit))
    count += 1
    for name in ("dev", "staging", "production"):
        if count < 1000:
            registry.fetch()
            before = registry.live(name)
            event = replace(live, environment=name, version=version)
            event = replace(event, previous=before.version if before else None)
            registry.write(event, f"Promote {version}")
            count += 1
print(len(Registry(root).fetch().history()))
"""


@dataclass
class Table:
    """What was measured, with its target where it has one."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def add(self, what: str, figure: str, target: str = "", holds: bool = True) -> None:
        self.rows.append((what, figure, target))
        if not holds:
            self.missed.append(what)
        print(f"  {what}: {figure}{f' (target {target})' if target else ''}", flush=True)

    def seconds(self, what: str, taken: float, target: float) -> None:
        self.add(what, f"{taken:.2f} s", f"under {target:g} s", taken < target)

    def ratio(self, what: str, taken: float, other: float, target: float) -> None:
        figure = f"{taken:.2f} s / {other:.2f} s = {taken / other:.2f}"
        self.add(what, figure, f"at most {target:g}", taken / other <= target)


def run(*command: str, cwd: Path, expect: int = 0) -> tuple[float, str]:
    """Seconds of wall clock, and standard output."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode != expect:
        sys.exit(f"{command} gave {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return taken, done.stdout


def alternate(repeats: int, *jobs: Callable[[], float]) -> list[float]:
    """The median seconds of each job; the jobs take turns, after one round that does not count."""
    rounds = [[job() for job in jobs] for _ in range(repeats + 1)][1:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def commit(root: Path, message: str) -> None:
    run("git", "add", "--all", cwd=root)
    run("git", "commit", "--quiet", "--no-verify", "-m", message, cwd=root)
    run("git", "push", "--quiet", "origin", "main", cwd=root)


def baking(table: Table, scratch: Path) -> None:
    """Without hooks, beside a template that holds the same tree and no Jinja."""
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--accept-hooks", "no"]

    def bake(template: Path) -> float:
        out = Path(tempfile.mkdtemp(dir=scratch))
        taken, _ = run(*command, "--output-dir", str(out), str(template), cwd=scratch)
        shutil.rmtree(out)
        return taken

    plain = scratch / "plain"
    plain.mkdir()
    answers = {"slug": "late-flights", "_copy_without_render": ["*"]}
    (plain / "cookiecutter.json").write_text(json.dumps(answers))
    made = cookiecutter(
        str(TEMPLATE), no_input=True, output_dir=str(scratch / "once"), accept_hooks=False
    )
    shutil.copytree(made, plain / "{{cookiecutter.slug}}")
    ours, theirs = alternate(7, lambda: bake(TEMPLATE), lambda: bake(plain))
    what = "`cookiecutter` without hooks / `cookiecutter` copying the same tree"
    table.ratio(what, ours, theirs, 1.5)


def pipeline(table: Table, root: Path, mlops: str) -> None:
    cold, _ = run(mlops, "run", cwd=root)
    table.seconds("The pipeline, cold, in a project just generated", cold, 45)
    dvc = str(root / ".venv/bin/dvc")
    ours, theirs = alternate(
        5,
        lambda: run(mlops, "run", cwd=root)[0],
        lambda: run(dvc, "repro", cwd=root)[0],
    )
    table.ratio("`mlops run` / `dvc repro`, both with nothing to do", ours, theirs, 1.3)
    (shown,) = alternate(9, lambda: run(mlops, "--help", cwd=root)[0])
    table.seconds("`mlops --help`", shown, 0.3)


def gate(table: Table, root: Path, mlops: str) -> None:
    """With a champion that differs: the data of September came."""
    shutil.copy(root / "data/incoming/2013-09.parquet", root / "data/raw")
    run(mlops, "run", cwd=root)
    commit(root, "Add September")
    said = run(mlops, "gate", "--env", "production", "--json", cwd=root)[1]
    assert json.loads(said)["champion"] == "1.0.0"
    (taken,) = alternate(3, lambda: run(mlops, "gate", "--env", "production", cwd=root)[0])
    table.add("`mlops gate`, all checks, champion and baseline, 57,049 rows", f"{taken:.2f} s")


def statistics_of(table: Table, root: Path, python: str) -> None:
    for factor, most in ((1, 6), (10, 20), (88, 120)):
        print(f"  ... {factor} x the rows", flush=True)
        found = json.loads(run(python, str(HERE / "rows.py"), str(factor), cwd=root)[1])
        table.add(
            f"The gate of production, all checks, {found['rows']:,} rows",
            f"{found['seconds']:.1f} s, {found['peak_mb']:,.0f} MB at its peak",
            f"under {most} s and {MOST_MB:,} MB",
            found["seconds"] < most and found["peak_mb"] < MOST_MB,
        )
    found = json.loads(run(python, str(HERE / "operations.py"), str(PAIRS), cwd=root)[1])
    table.add(
        f"Of {found['pairs']} pairs of one model, every core busy, `operations` stops / warns of",
        f"{found['stopped']} / {sum(found['warned'].values())}",
        "0 stopped",
        found["stopped"] == 0,
    )
    found = json.loads(run(python, str(HERE / "bootstrap.py"), cwd=root)[1])
    ours = found["ours"]["seconds"]
    for name, title, least in (
        ("loop", "a loop over `roc_auc_score`", 60),
        ("scipy", "`scipy.stats.bootstrap`", 0),
        ("delong", "DeLong's interval, without resamples", 0),
    ):
        times = found[name]["seconds"] / ours
        low, high = found[name]["interval"]
        table.add(
            f"{found['resamples']:,} paired resamples of an AUC difference, 10,000 rows / {title}",
            f"{ours:.3f} s / {found[name]['seconds']:.3g} s: {times:.3g} times as fast; "
            f"[{found['ours']['interval'][0]:.4f}, {found['ours']['interval'][1]:.4f}] "
            f"and [{low:.4f}, {high:.4f}]",
            f"at least {least} times" if least else "",
            times >= least,
        )


def release(table: Table, root: Path, mlops: str) -> None:
    run(mlops, "register", cwd=root)
    for name in ("dev", "staging"):
        run(mlops, "promote", "1.0.1", "--to", name, cwd=root)
    taken, _ = run(mlops, "promote", "1.0.1", "--to", "production", cwd=root)
    table.add("`mlops promote 1.0.1 --to production`", f"{taken:.2f} s")
    taken, _ = run(mlops, "rollback", "production", cwd=root)
    table.seconds("`mlops rollback production`", taken, 5)


def registry(table: Table, root: Path, mlops: str, python: str) -> None:
    print("  ... writing 1,000 events", flush=True)
    events = run(python, "-c", EVENTS, cwd=root)[1].strip()
    assert events == "1000", events
    tags = root.parent / "gto"
    tags.mkdir()
    run("git", "init", "--quiet", cwd=tags)
    (tags / "artifacts.yaml").write_text("model: {path: model.skops, type: model}\n")
    run("git", "add", "--all", cwd=tags)
    run("git", "commit", "--quiet", "--no-verify", "-m", "Start", cwd=tags)
    for number in range(250):
        version = f"model@v1.{number}.0"
        run("git", "commit", "--quiet", "--no-verify", "--allow-empty", "-m", version, cwd=tags)
        run("git", "tag", "-a", version, "-m", version, cwd=tags)
        for stage in ("dev", "staging", "production"):
            name = f"model#{stage}#{number + 1}"
            run("git", "tag", "-a", name, "-m", name, cwd=tags)
    gto = str(Path(sys.executable).parent / "gto")
    live = "refs/mlops/origin/registry:environments/production.yaml"

    def bare() -> float:
        fetched = run("git", "fetch", "--quiet", "origin", "registry", cwd=root)[0]
        return fetched + run("git", "show", live, cwd=root)[0]

    ours, theirs, git = alternate(
        5,
        lambda: run(mlops, "status", cwd=root)[0],
        lambda: run(gto, "show", cwd=tags)[0],
        bare,
    )
    table.seconds("`mlops status` with 1,000 events", ours, 0.3)
    table.add("`gto show` with 1,000 tags, in the same run", f"{theirs:.2f} s")
    table.add("`git fetch` and `git show` of one record, in the same run", f"{git:.2f} s")
    (taken,) = alternate(3, lambda: run(mlops, "history", cwd=root)[0])
    table.add("`mlops history` of 1,000 events", f"{taken:.2f} s")


def main() -> int:
    table = Table()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        baking(table, scratch)
        print("  ... generating a project", flush=True)
        root = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(scratch / "made")))
        mlops, python = (str(root / ".venv/bin" / tool) for tool in ("mlops", "python"))
        origin = root.parent / "origin.git"
        run("git", "init", "--quiet", "--bare", "-b", "main", str(origin), cwd=root)
        run("git", "remote", "add", "origin", str(origin), cwd=root)
        pipeline(table, root, mlops)
        commit(root, "Train")
        run(mlops, "register", cwd=root)
        for environment in ("dev", "staging", "production"):
            run(mlops, "promote", "1.0.0", "--to", environment, cwd=root)
        gate(table, root, mlops)
        release(table, root, mlops)
        statistics_of(table, root, python)
        registry(table, root, mlops, python)
    write(table)
    for what in table.missed:
        print(f"missed: {what}")
    return 1 if table.missed else 0


def write(table: Table) -> None:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    rows = "\n".join(f"| {what} | {figure} | {target} |" for what, figure, target in table.rows)
    (HERE / "results.md").write_text(
        "# What was measured\n\n"
        f"By `make benchmark`, on {machine}, Python {platform.python_version()}; packages and "
        "bytecode of a project\njust generated. Figures of a row are of one run, and medians where "
        "a thing was repeated.\n\n"
        f"| | measured | target |\n|---|---|---|\n{rows}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
