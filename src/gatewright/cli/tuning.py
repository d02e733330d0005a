"""Trying parameters: search, experiments."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gatewright.cli.parser import Arguments, Parser
from gatewright.errors import Misuse


def add_to(parser: Parser) -> None:
    search = parser.command(
        "search", _search, "try parameters on the training rows, and write what is better"
    )
    search.add_argument("--trials", type=int, help="how many (default: as params.yaml says)")
    search.add_argument("--jobs", type=int, default=1, help="processes side by side (default: 1)")
    search.add_argument("--dry-run", action="store_true", help="only tell, and write nothing")
    search.add_argument("--take-part", type=int, nargs=2, help=argparse.SUPPRESS)
    tried = parser.command(
        "experiments", _experiments, "what was tried, by commit, and what came of it", reads=True
    )
    tried.add_argument("revision", nargs="?", default="HEAD", help="a branch (default: HEAD)")
    tried.add_argument("--most", type=int, default=20, help="how many (default: 20)")
    tried.add_argument("--plot", metavar="FILE", help="a picture of the first metric, as SVG")


def _search(arguments: Arguments) -> None:
    from gatewright.tuning.search import search, take_part

    if arguments.take_part is not None:
        take_part(arguments.root, *arguments.take_part)
        return
    if not 1 <= arguments.jobs <= 64 or (arguments.trials or 1) < 1:
        raise Misuse("--jobs is a number from 1 to 64, and --trials one from 1 on.")
    found = search(arguments.root, arguments.trials, arguments.jobs, _say, not arguments.dry_run)
    print(found.sentence)
    for path, value in found.values.items():
        print(f"  train.{path}: {found.before[path]} -> {value}")
    if found.is_better and not arguments.dry_run:
        print("They are written into params.yaml. Next: `uv run mlops run`, then the gate.")


def _say(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)


def _experiments(arguments: Arguments) -> None:
    from dataclasses import asdict

    from gatewright.adapters.console import print_table
    from gatewright.tuning.experiments import experiments, plot, words

    found = experiments(arguments.root, arguments.revision, arguments.most)
    first = next((name for one in found for name in one.metrics), None)
    if arguments.plot:
        if first is None:
            raise Misuse("No commit has metrics, so there is nothing to draw.")
        plot(found, first, arguments.called_from / Path(arguments.plot))
    if arguments.json:
        print(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False, default=str))
        return
    rows = []
    for one in found:
        value = one.metrics.get(first or "")
        figure = f"{value[0]:.4f} [{value[1]:.4f}, {value[2]:.4f}]" if value else "-"
        rows.append((one.commit[:9], one.date, figure, words(one.changes) or "-", one.subject[:50]))
    print_table(rows, ("commit", "date", first or "metric", "changed", "subject"))
