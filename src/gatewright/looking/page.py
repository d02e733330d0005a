"""One page of HTML: no script, nothing from elsewhere, light and dark, also for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from gatewright.looking.facts import Facts, number
from gatewright.looking.suspicions import Suspicion

WIDTH, HEIGHT, LABELS = 320, 90, 14
LETTER = 6.0  # the width of one, of a label
FEW = 0.005  # of the rows: a mean of fewer is not drawn
RARE = 0.9  # of the rows have a value that is not drawn: then nothing is
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
.dot { fill: var(--mark); } text { fill: var(--soft); font-size: 11px; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: 0.25rem 0.75rem 0.25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { min-width: 6rem; } details { margin-top: 0.5rem; }
summary { cursor: pointer; color: var(--soft); font-size: 0.9rem; }
"""


def page_of(
    title: str,
    lead: str,
    facts: Sequence[Facts],
    found: Sequence[Suspicion],
    target: str | None,
    told: str,
) -> str:
    """The page; `lead` is its first sentence, `told` what the target's mean is called."""
    first = [fact for fact in facts if fact.name == target]
    others = [fact for fact in facts if fact.name != target]
    scale = _scale(others)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body><main>",
        f"<h1>{escape(title)}</h1><p>{escape(lead)}</p>",
        "<h2>Look at these first</h2>",
        _table(found) if found else "<p>Nothing is suspicious.</p>",
        f"<h2>Columns</h2><p>{escape(_legend(told, scale))}</p>",
        '<div class="cards">',
        *(_card(fact, target, told, scale) for fact in (*first, *others)),
        "</div></main></body></html>\n",
    ]
    return "\n".join(parts)


def _scale(facts: Sequence[Facts]) -> tuple[float, float] | None:
    """The lowest and the highest mean of the target in any bar; None if no two differ."""
    known = [mean for fact in facts for mean in _means(fact) if np.isfinite(mean)]
    return (min(known), max(known)) if known and max(known) > min(known) else None


def _means(fact: Facts) -> list[float]:
    """The target's mean in each bar, NaN in those of too few rows."""
    least = max(5, FEW * fact.rows)
    return [bar.target if bar.rows >= least else float("nan") for bar in fact.bars]


def _legend(told: str, scale: tuple[float, float] | None) -> str:
    words = "Bars are rows, by value."
    if scale is None:
        return words
    low, high = map(number, scale)
    return f"{words} Dots are the {told}, in all pictures from {low} (below) to {high}."


def _table(found: Sequence[Suspicion]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(s.column)}</th><td>{escape(s.words)}</td></tr>" for s in found
    )
    return (
        f"<table><thead><tr><th>column</th><th>what</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _card(fact: Facts, target: str | None, told: str, scale: tuple[float, float] | None) -> str:
    said = [f"{fact.kind}, {fact.distinct:,} values"]
    said.append(f"{fact.missing_share:.1%} missing" if fact.missing else "none missing")
    if fact.quantiles:
        low, _, q1, median, q3, _, high = map(number, fact.quantiles)
        said.append(f"{low} to {high}, half from {q1} to {q3}, median {median}")
    name = f"{fact.name} (the target)" if fact.name == target else fact.name
    return "\n".join(
        [
            f'<section class="card"><h3>{escape(name)}</h3><p>{escape("; ".join(said))}</p>',
            _bars(fact, "" if fact.name == target else told, scale),
            _lines(fact),
            _values(fact, "" if fact.name == target else told),
            "</section>",
        ]
    )


def _bars(fact: Facts, told: str, scale: tuple[float, float] | None) -> str:
    """Bars of rows, and in each the target's mean: of a category as dots, else as a line."""
    if not fact.bars:
        return ""
    if fact.kind == "category" and fact.others > RARE * fact.rows:
        return "<p>No value is frequent enough for a picture.</p>"
    most = max(bar.rows for bar in fact.bars) or 1
    width = WIDTH / len(fact.bars)
    drawn = [
        f'<rect class="bar" x="{n * width + 0.5:.1f}" width="{max(width - 1, 0.5):.1f}" '
        f'y="{HEIGHT * (1 - bar.rows / most):.1f}" height="{HEIGHT * bar.rows / most:.1f}"/>'
        for n, bar in enumerate(fact.bars)
    ]
    said = f"{fact.name}: rows by value"
    if told and scale is not None:
        drawn.append(_line(_means(fact), width, scale, fact.kind != "category"))
        said += f", and the {told} as dots"
    return _svg(said, [*drawn, *_labels(fact, width)], LABELS)


def _labels(fact: Facts, width: float) -> list[str]:
    """What stands below the bars: the categories, if they have room, or where numbers end."""
    if fact.kind == "category":
        room = int(width / LETTER)
        if room < 3:
            return []
        names = [
            bar.label if len(bar.label) <= room else f"{bar.label[: room - 1]}…"
            for bar in fact.bars
        ]
        placed = [(n * width + width / 2, "middle", name) for n, name in enumerate(names)]
    else:
        ends = (fact.bars[0].label.partition(" to ")[0], fact.bars[-1].label.rpartition(" to ")[2])
        placed = [(0.0, "start", ends[0]), (float(WIDTH), "end", ends[1])]
    return [
        f'<text x="{x:.1f}" y="{HEIGHT + 11}" text-anchor="{anchor}">{escape(words)}</text>'
        for x, anchor, words in placed
    ]


def _lines(fact: Facts) -> str:
    """The mean over time, or the missing share where that varies."""
    for words, values in (
        ("mean over time", fact.mean_over_time),
        ("missing share over time", fact.missing_over_time),
    ):
        known = [v for v in values if np.isfinite(v)]
        if len(known) > 3 and max(known) > min(known):
            ends = (min(known), max(known))
            line = _line(list(values), WIDTH / len(values), ends)
            said = " to ".join(map(number, ends))
            return f"<p>{words}: {said}</p>" + _svg(f"{fact.name}: {words}", [line])
    return ""


def _line(
    values: list[float], width: float, scale: tuple[float, float], joined: bool = True
) -> str:
    low, high = scale
    points = [
        (n * width + width / 2, HEIGHT * (0.95 - 0.9 * (value - low) / (high - low)))
        for n, value in enumerate(values)
        if np.isfinite(value)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    size = 2 if joined else 4
    dots = [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>' for x, y in points]
    line = f'<polyline class="mark" points="{path}"/>' if joined and len(points) > 1 else ""
    return line + "".join(dots)


def _svg(told: str, drawn: Sequence[str], below: int = 0) -> str:
    size, said = f"0 0 {WIDTH} {HEIGHT + below}", escape(told, quote=True)
    return f'<svg viewBox="{size}" role="img" aria-label="{said}">{"".join(drawn)}</svg>'


def _values(fact: Facts, told: str) -> str:
    """The bars in words, folded."""
    with_target = bool(told) and any(np.isfinite(bar.target) for bar in fact.bars)
    head = "<th>value</th><th>rows</th>" + (f"<th>{escape(told)}</th>" if with_target else "")
    rows = "".join(
        f"<tr><td>{escape(bar.label[:80])}</td><td>{bar.rows:,}</td>"
        + (f"<td>{number(bar.target)}</td>" if with_target else "")
        + "</tr>"
        for bar in fact.bars
    )
    return (
        f"<details><summary>As a table</summary><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )
