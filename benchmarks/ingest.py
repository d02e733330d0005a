"""New rows in bulk, and a project from nothing: write benchmarks/ingest.md.

    uv run benchmarks/ingest.py

A project about a small table is made, and a million rows arrive as a CSV, as Parquet, and from a
SQLite database. Then a project is baked with its hooks, with and without a warm cache. CPU time is
of all processes of a command; on a machine with other work only that can be compared.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from cookiecutter.main import cookiecutter
from pages import made_with

TEMPLATE = Path(__file__).parents[1]
PAGE = Path(__file__).with_suffix(".md")
ROWS, FIRST = 1_000_000, 5_000
LEAST_RATE, MOST_MB, MOST_SECONDS = 10.0, 1000.0, 20.0
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
} | {
    **{"GIT_AUTHOR_NAME": "Bench", "GIT_AUTHOR_EMAIL": "bench@example.com"},
    **{"GIT_COMMITTER_NAME": "Bench", "GIT_COMMITTER_EMAIL": "bench@example.com"},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
# Of a process and all that it started: its own peak is the largest of any one of them.
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[2:], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
report = {"status": done.returncode, "said": done.stdout + done.stderr,
          "cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss * 1024 / 1e6}
open(sys.argv[1], "w").write(json.dumps(report))
"""


@dataclass(frozen=True)
class Used:
    """What a command took: seconds of CPU and by the clock, and MB at the peak of one process."""

    cpu: float
    wall: float
    mb: float


def run(folder: Path, *command: str) -> Used:
    with tempfile.NamedTemporaryFile() as file:
        start = time.perf_counter()
        words = [sys.executable, "-c", MEASURE, file.name, *command]
        subprocess.run(words, cwd=folder, env=ENVIRONMENT, check=True)
        wall = time.perf_counter() - start
        report = json.loads(Path(file.name).read_text())
    if report["status"]:
        sys.exit(f"{command} gave {report['status']}:\n{report['said'][-3000:]}")
    return Used(report["cpu"], wall, report["mb"])


def sales(n: int, first: int) -> pd.DataFrame:
    """n rows of eleven columns: numbers, categories, texts, dates, yes and no."""
    draw = np.random.default_rng(first)
    when = pd.Timestamp("2020-01-01") + pd.to_timedelta((first + np.arange(n)) * 40, "s")
    rows = pd.DataFrame(
        {
            "sale": np.arange(first, first + n),
            "sold": when.strftime("%Y-%m-%d %H:%M:%S"),
            "customer": draw.integers(10_000, 99_999, n),
            "email": [f"c{at}@example.com" for at in range(first, first + n)],
            "shop": draw.choice([f"shop {at}" for at in range(40)], n),
            "payment": draw.choice(["card", "cash", "invoice", ""], n),
            "member": draw.choice(["yes", "no"], n),
            "items": draw.integers(1, 12, n),
            "weight": draw.gamma(2, 1.5, n).round(3),
            "distance": draw.gamma(2, 40, n).round(1),
        }
    )
    odds = 0.4 * rows["items"] - 0.02 * rows["distance"] - 1
    rows["returned"] = np.where(draw.random(n) < 1 / (1 + np.exp(-odds)), "yes", "no")
    return rows


def project(scratch: Path) -> Path:
    """A project about the first rows, without an environment of its own."""
    answers = {"project_name": "Sales", "description": "What comes back?"}
    cookiecutter(str(TEMPLATE), None, True, answers, accept_hooks=False, output_dir=str(scratch))
    root = scratch / "sales"
    sales(FIRST, 0).to_csv(scratch / "first.csv", index=False)
    git(root, "init", "--quiet", "-b", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--no-verify", "-m", "Start")
    run(root, "mlops", "adopt", "../first.csv", "--target", "returned")
    # Prices and distances are seldom as far away as among a million.
    contract = root / "contract.yaml"
    lines = contract.read_text(encoding="utf-8").splitlines()
    wide = [line.replace("max: ", "max: 1") if "max: " in line else line for line in lines]
    contract.write_text("\n".join(wide) + "\n", encoding="utf-8")
    return root


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=root, env=ENVIRONMENT, check=True)


def ingests(scratch: Path) -> list[tuple[str, float, Used]]:
    """Of each kind of source: its name, the MB that arrive, and what bringing them in took."""
    root = project(scratch)
    rows = sales(ROWS, FIRST)
    rows.to_csv(scratch / "new.csv", index=False)
    rows.to_parquet(scratch / "new.parquet", index=False)
    with sqlite3.connect(scratch / "new.db") as connection:
        rows.to_sql("sales", connection, index=False)
    connection.close()
    del rows
    found = []
    for kind, name in (("CSV", "new.csv"), ("Parquet", "new.parquet"), ("SQLite", "new.db")):
        used = run(root, "mlops", "ingest", f"../{name}")
        size = (scratch / "new.csv").stat().st_size / 1e6  # the same rows, as text
        found.append((kind, size, used))
        (root / "data/raw/new.parquet").unlink()
        print(kind, size, used, flush=True)
    return found


def baking(scratch: Path) -> list[tuple[str, Used]]:
    """A project with its hooks: library, environment, DVC, storage, first commit."""
    command = [sys.executable, "-m", "cookiecutter", "--no-input", str(TEMPLATE), "--output-dir"]
    found = []
    for name in ("first", "again, the cache is warm"):
        folder = scratch / "baked"
        folder.mkdir()
        found.append((name, run(scratch, *command, str(folder))))
        shutil.rmtree(folder)
        print(name, found[-1][1], flush=True)
    return found


def page(found: list[tuple[str, float, Used]], baked: list[tuple[str, Used]]) -> str:
    lines = [
        "# New rows in bulk, and a project from nothing",
        "",
        f"Written by `benchmarks/ingest.py` with {made_with()}, Python",
        f"{platform.python_version()}, {os.cpu_count()} cores that others used at the same time:",
        "trust CPU time.",
        "",
        f"{ROWS:,} rows of 11 columns, one of them personal and dropped, arrive by `mlops ingest`: "
        "read, checked, written as Parquet. MB are those of the CSV.",
        f"Asked: {LEAST_RATE:g} MB/s or more, under {MOST_MB:,.0f} MB.",
        "",
        "| from | MB | CPU s | s by the clock | MB per s of CPU | MB at the peak |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind, size, used in found:
        rate = size / used.cpu
        figures = (f"{used.cpu:.1f}", f"{used.wall:.1f}", f"{rate:.1f}", f"{used.mb:.0f}")
        lines.append(f"| {kind} | {size:.0f} | {' | '.join(figures)} |")
    lines += [
        "",
        f"A project with the default answers, by `cookiecutter` with its hooks. Asked: under "
        f"{MOST_SECONDS:g} s with a warm cache.",
        "",
        "| | CPU s | s by the clock |",
        "| --- | --- | --- |",
        *(f"| {name} | {used.cpu:.1f} | {used.wall:.1f} |" for name, used in baked),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        found = ingests(scratch)
        baked = baking(scratch)
    PAGE.write_text(page(found, baked), encoding="utf-8")
    print(f"{PAGE} is written.")
    slow = any(size / used.cpu < LEAST_RATE or used.mb > MOST_MB for _, size, used in found[:2])
    return int(slow or baked[-1][1].cpu > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
