"""What was tried, by commit: parameters that changed, and the metrics that came of it.

Read from Git alone: params.yaml and reports/metrics.json of each commit that changed one of them.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewright.adapters.files import write_whole
from gatewright.adapters.git import Git
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Refused

METRICS, PARAMS = "reports/metrics.json", "params.yaml"


@dataclass(frozen=True)
class Experiment:
    """One commit. changes: by path, the value before and after. metrics: value, low, high."""

    commit: str
    date: str
    subject: str
    changes: dict[str, tuple[Any, Any]]
    metrics: dict[str, tuple[float, float, float]]


def experiments(root: Path, revision: str = "HEAD", most: int = 20) -> list[Experiment]:
    """The newest commits with other parameters or metrics, the newest first.

    Raises Refused where there is none.
    """
    git = Git(root)
    log = git("log", "--format=%H%x09%cs%x09%s", revision, "--", METRICS, PARAMS).splitlines()
    commits = [line.split("\t", 2) for line in log]
    if not commits:
        raise Refused("No commit has parameters or metrics. Run `uv run mlops run`, and commit.")
    names = [f"{sha}:{path}" for sha, _, _ in commits for path in (PARAMS, METRICS)]
    texts = git.blobs(names)
    params = [_flat(_mapping(text)) for text in texts[0::2]]
    found = []
    for at, (sha, date, subject) in enumerate(commits[:most]):
        before = params[at + 1] if at + 1 < len(params) else {}
        changes = {
            path: (before.get(path), params[at].get(path))
            for path in {**before, **params[at]}
            if before.get(path) != params[at].get(path)
        }
        found.append(Experiment(sha, date, subject, changes, _metrics(texts[2 * at + 1])))
    return found


def _mapping(text: str | None) -> dict[str, Any]:
    try:
        return parse_yaml(text, PARAMS) if text else {}
    except Refused:
        return {}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, Any] = {}
    for key, inside in value.items():
        found |= _flat(inside, f"{path}.{key}" if path else str(key))
    return found


def _metrics(text: str | None) -> dict[str, tuple[float, float, float]]:
    try:
        told = json.loads(text)["metrics"] if text else {}
        return {
            name: tuple(entry["candidate"][key] for key in ("value", "low", "high"))
            for name, entry in told.items()
        }
    except (ValueError, LookupError, TypeError):
        return {}


def words(changes: dict[str, tuple[Any, Any]], most: int = 3) -> str:
    """What changed, in as many words as a table has room for."""
    if len(changes) > 12:
        return f"{len(changes)} parameters"
    said = [f"{path.split('.', 1)[-1]}: {old} -> {new}" for path, (old, new) in changes.items()]
    more = f" and {len(said) - most} more" if len(said) > most else ""
    return ", ".join(said[:most]) + more


def plot(found: list[Experiment], metric: str, out: Path) -> None:
    """A metric with its interval by commit, the oldest first, as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "gatewright", "svg.fonttype": "none", "font.size": 9})
    known = [one for one in reversed(found) if metric in one.metrics]
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    values = [one.metrics[metric] for one in known]
    middle = [value for value, _, _ in values]
    reach = [[v - low for v, low, _ in values], [high - v for v, _, high in values]]
    axes.errorbar(range(len(known)), middle, yerr=reach, fmt="o", color="#1f5fa8", capsize=3)
    axes.set_xticks(range(len(known)), [one.commit[:7] for one in known], rotation=45)
    axes.set(ylabel=metric)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    write_whole(out, drawn.getvalue())
