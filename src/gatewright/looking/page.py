"""One page of HTML: no script, nothing from elsewhere, light and dark, also for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from gatewright.looking.facts import Facts
from gatewright.looking.suspicions import Suspicion

WIDTH, HEIGHT = 320, 90
STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --bar: #7aa5d2;
  --mark: #b3541e; --soft: #57606a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d;
  --bar: #3f6a99; --mark: #f0883e; --soft: #9198a1; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; max-width: 72rem; padding: 1rem; }
h1 { font-size: 1.5rem; margin: 0.5rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); border-radius: 6px; padding: 0.75rem; }
.card p { margin: 0.25rem 0; color: var(--soft); font-size: 0.9rem; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; }
.bar { fill: var(--bar); } .mark { fill: none; stroke: var(--mark); stroke-width: 2; }
.dot { fill: var(--mark); }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: 0.25rem 0.75rem 0.25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--soft); font-size: 0.9rem; }
"""


def page_of(
    title: str, lead: str, facts: Sequence[Facts], found: Sequence[Suspicion], target: str | None
) -> str:
    """The page; `lead` is its first sentence."""
    first = [fact for fact in facts if fact.name == target]
    others = [fact for fact in facts if fact.name != target]
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body><main>",
        f"<h1>{escape(title)}</h1><p>{escape(lead)}</p>",
        "<h2>Look at these first</h2>",
        _table(found) if found else "<p>Nothing is suspicious.</p>",
        '<h2>Columns</h2><div class="cards">',
        *(_card(fact, target) for fact in (*first, *others)),
        "</div></main></body></html>\n",
    ]
    return "\n".join(parts)


def _table(found: Sequence[Suspicion]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(s.column)}</th><td>{escape(s.words)}</td></tr>" for s in found
    )
    return (
        f"<table><thead><tr><th>column</th><th>what</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _card(fact: Facts, target: str | None) -> str:
    said = [f"{fact.kind}, {fact.distinct:,} values"]
    said.append(f"{fact.missing_share:.1%} missing" if fact.missing else "none missing")
    if fact.quantiles:
        low, _, q1, median, q3, _, high = fact.quantiles
        said.append(f"{low:.4g} to {high:.4g}, half from {q1:.4g} to {q3:.4g}, median {median:.4g}")
    name = f"{fact.name} (the target)" if fact.name == target else fact.name
    return "\n".join(
        [
            f'<section class="card"><h3>{escape(name)}</h3><p>{escape("; ".join(said))}</p>',
            _bars(fact, target),
            _lines(fact),
            _values(fact, target),
            "</section>",
        ]
    )


def _bars(fact: Facts, target: str | None) -> str:
    """Bars of rows, and the target's mean in each as a line."""
    if not fact.bars:
        return ""
    most = max(bar.rows for bar in fact.bars) or 1
    width = WIDTH / len(fact.bars)
    drawn = [
        f'<rect class="bar" x="{n * width + 0.5:.1f}" width="{max(width - 1, 0.5):.1f}" '
        f'y="{HEIGHT * (1 - bar.rows / most):.1f}" height="{HEIGHT * bar.rows / most:.1f}"/>'
        for n, bar in enumerate(fact.bars)
    ]
    told = f"{fact.name}: rows by value"
    if fact.name != target:
        means = [bar.target if bar.rows >= 5 else float("nan") for bar in fact.bars]
        if line := _line(means, width):
            drawn.append(line)
            told += f", and the mean of {target} as a line"
    return _svg(told, drawn)


def _lines(fact: Facts) -> str:
    """The mean over time, or the missing share where that varies."""
    for words, values in (
        ("mean over time", fact.mean_over_time),
        ("missing share over time", fact.missing_over_time),
    ):
        known = [v for v in values if np.isfinite(v)]
        if len(known) > 3 and max(known) > min(known):
            line = _line(list(values), WIDTH / len(values))
            return f"<p>{words}: {min(known):.4g} to {max(known):.4g}</p>" + _svg(
                f"{fact.name}: {words}", [line]
            )
    return ""


def _line(values: list[float], width: float) -> str:
    known = [v for v in values if np.isfinite(v)]
    if len(known) < 2 or max(known) == min(known):
        return ""
    low, high = min(known), max(known)
    points = [
        (n * width + width / 2, HEIGHT * (0.95 - 0.9 * (value - low) / (high - low)))
        for n, value in enumerate(values)
        if np.isfinite(value)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points)
    return f'<polyline class="mark" points="{path}"/>{dots}'


def _svg(told: str, drawn: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told, quote=True)}">'
        f"{''.join(drawn)}</svg>"
    )


def _values(fact: Facts, target: str | None) -> str:
    """The bars in words, folded."""
    with_target = fact.name != target and any(np.isfinite(bar.target) for bar in fact.bars)
    head = "<th>value</th><th>rows</th>" + (
        f"<th>mean of {escape(str(target))}</th>" if with_target else ""
    )
    rows = "".join(
        f"<tr><td>{escape(bar.label[:80])}</td><td>{bar.rows:,}</td>"
        + (f"<td>{bar.target:.4g}</td>" if with_target else "")
        + "</tr>"
        for bar in fact.bars
    )
    return (
        f"<details><summary>As a table</summary><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )
