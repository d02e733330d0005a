"""A verdict for people (terminal, Markdown) and for machines (JSON)."""

import json
import re
from pathlib import Path
from typing import Any

from gatewright.adapters.files import write_whole
from gatewright.adapters.markdown import cell
from gatewright.errors import Refused
from gatewright.gate.checks.base import STATUSES
from gatewright.gate.verdict import Verdict
from gatewright.run_context import current

_NAMES = ("pass", "REFUSED", "CANNOT TELL", "EXCUSED", "WARNING")
_MARKS = dict(zip(STATUSES, _NAMES, strict=True))
_SHADES = ("green", "bold red", "bold yellow", "yellow", "yellow")
_COLOURS = dict(zip(STATUSES, _SHADES, strict=True))
LONGEST = 60_000  # characters; GitHub takes 65,536 in a comment
_SLICES = 12  # in a chart; with more nobody reads the names
_COUNTS = ("rows", "share")  # of a slice's entry; what else is in it is a figure by model


def write(verdict: Verdict, folder: Path) -> None:
    """Write gate.json and gate.md; in a workflow, also the summary of the job."""
    write_whole(folder / "gate.json", to_json(verdict))
    write_whole(folder / "gate.md", to_markdown(verdict))
    if summary := current().summary:
        with open(summary, "a", encoding="utf-8") as file:
            file.write(to_markdown(verdict))


def to_json(verdict: Verdict) -> str:
    # A strict reader knows no NaN; a number that is none is null.
    text = json.dumps(verdict.to_dict(), ensure_ascii=False)
    return json.dumps(json.loads(text, parse_constant=lambda _: None), indent=2) + "\n"


def from_json(text: str) -> Verdict:
    """A verdict from a file that anybody may have written: its shape is checked, all of it."""
    from pydantic import TypeAdapter, ValidationError

    try:
        value = json.loads(text, object_hook=_no_null)
        value.pop("sentence", None)
        return TypeAdapter(Verdict).validate_python(value)
    except (ValueError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise Refused(f"This is no verdict of the gate ({type(error).__name__}).") from None


def _no_null(value: dict[str, Any]) -> dict[str, Any]:
    numbers = {"value", "low", "high"}
    return {k: float("nan") if k in numbers and v is None else v for k, v in value.items()}


def to_markdown(verdict: Verdict) -> str:
    """The verdict in GitHub's Markdown. No text in it is taken for markup."""
    try:
        parts = [*_head(verdict), *_figures(verdict), *_slices(verdict)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"This is no verdict of the gate ({type(error).__name__}).") from None
    text = "\n".join(parts)
    if len(text) > LONGEST:
        text = text[:LONGEST].rpartition("\n")[0] + "\n\nThe rest was too long.\n"
    return text


def _head(verdict: Verdict) -> list[str]:
    lines = [f"# Gate of {cell(verdict.environment)}: {verdict.decision}", ""]
    lines += [cell(verdict.sentence), ""]
    for note in verdict.notes:
        lines += [f"**{cell(note)}.**", ""]
    lines += ["| check | subject | answer | finding |", "| --- | --- | --- | --- |"]
    for answer in verdict.answers:
        for finding in answer.findings:
            cells = (answer.check, finding.subject, _MARKS[finding.status], finding.message)
            lines.append("| " + " | ".join(map(cell, cells)) + " |")
    policy, model = cell(verdict.policy[:12]), cell(verdict.model or "not touched")
    return [*lines, "", f"Policy {policy}, model {model} (md5).", ""]


def _figures(verdict: Verdict) -> list[str]:
    if not verdict.metrics:
        return []
    models = list(next(iter(verdict.metrics.values())))
    head = [*map(cell, models), "would be seen"]
    lines = ["## Figures", "", "| metric | " + " | ".join(head) + " |"]
    lines.append("| --- " * (len(head) + 1) + "|")
    for name, by_model in verdict.metrics.items():
        shown = [_interval(estimate) for estimate in by_model.values()]
        power = f"{float(verdict.power[name]):.4f}" if name in verdict.power else "-"
        lines.append(f"| {cell(name)} | " + " | ".join([*shown, power]) + " |")
    other = "champion" if "champion" in models else "baseline"
    return [
        *lines,
        "",
        f"Would be seen: the smallest true difference from the {other} that these rows show four "
        "times of five.",
        "",
    ]


def _slices(verdict: Verdict) -> list[str]:
    lines: list[str] = []
    for column, values in verdict.slices.items():
        figures = [key for entry in values.values() for key in entry if key not in _COUNTS]
        metric = figures[0] if figures else ""
        models = {model for entry in values.values() for model in entry.get(metric, ())}
        order = [m for m in ("candidate", "champion", "baseline") if m in models]
        share = any("share" in entry for entry in values.values())
        head = [column, "rows", *(["event"] if share else [])]
        head += [f"{metric} of {model}" for model in order]
        lines += [f"## By {cell(column)}", "", "| " + " | ".join(map(cell, head)) + " |"]
        lines.append("| --- " * len(head) + "|")
        for value, entry in values.items():
            figure = entry.get(metric, {})
            cells = [cell(value), f"{int(entry['rows']):,}"]
            cells += [f"{float(entry['share']):.1%}"] if share else []
            cells += [_interval(figure[m]) if m in figure else "too few rows" for m in order]
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", *_chart(column, metric, values, order)]
    return lines


def _chart(column: str, metric: str, values: dict[str, Any], models: list[str]) -> list[str]:
    """Bars for the candidate, a line for what it would replace."""
    shown = {name: entry[metric] for name, entry in values.items() if metric in entry}
    shown = dict(list(shown.items())[:_SLICES])
    if len(shown) < 2 or "candidate" not in models:
        return []
    other = next((m for m in models if m != "candidate"), None)
    words = f"candidate (bars) and {other} (line)" if other else "candidate"
    names = ", ".join(f'"{plain(name)}"' for name in shown)
    figures = [float(e[m]["value"]) for e in shown.values() for m in filter(None, models[:2])]
    low, high = min(figures), max(figures)
    room = (high - low) or 1.0
    lines = [
        "```mermaid",
        "xychart-beta",
        f'  title "{plain(metric)} by {plain(column)}: {words}"',
        f"  x-axis [{names}]",
        f'  y-axis "{plain(metric)}" {low - room / 2:.4g} --> {high + room / 4:.4g}',
        f"  bar [{', '.join(_figure(e['candidate']) for e in shown.values())}]",
    ]
    if other:
        lines.append(f"  line [{', '.join(_figure(e[other]) for e in shown.values())}]")
    return [*lines, "```", ""]


def _figure(estimate: dict[str, Any]) -> str:
    return f"{float(estimate['value']):.4f}"


def _interval(estimate: dict[str, Any]) -> str:
    value, low, high = (float(estimate[key]) for key in ("value", "low", "high"))
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"


def plain(text: str) -> str:
    """Letters, digits and little else: what a chart's label may hold."""
    return re.sub(r"[^\w .-]", " ", str(text))[:40]


def explain(verdict: Verdict) -> None:
    """Print each check's question, number, interval, bound and answer."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for answer in verdict.answers:
        console.print(f"\n{answer.check}: {answer.question}", markup=False, style="bold")
        table = Table("subject", "value", "interval", "bound", "answer", "finding")
        for finding in answer.findings:
            got, mark = finding.estimate, _MARKS[finding.status]
            table.add_row(
                finding.subject,
                f"{got.value:.4f}" if got else "",
                f"{got.low:.4f} .. {got.high:.4f}" if got else "",
                f"{finding.bound:g}" if finding.bound is not None else "",
                f"[{_COLOURS[finding.status]}]{mark}[/]",
                finding.message.replace("[", r"\["),
            )
        console.print(table)
    if verdict.power:
        words = ", ".join(f"{name} {value:.4f}" for name, value in verdict.power.items())
        console.print(f"\nThe smallest difference that these rows would show: {words}.")
    _conclude(console, verdict)


def show(verdict: Verdict) -> None:
    """Print the verdict as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("check", "subject", "answer", "finding", title=f"Gate of {verdict.environment}")
    for answer in verdict.answers:
        for finding in answer.findings:
            mark = f"[{_COLOURS[finding.status]}]{_MARKS[finding.status]}[/]"
            table.add_row(answer.check, finding.subject, mark, finding.message.replace("[", r"\["))
    console = Console()
    console.print(table)
    _conclude(console, verdict)


def _conclude(console: Any, verdict: Verdict) -> None:
    for note in verdict.notes:
        console.print(f"{note}.", markup=False, highlight=False, style="bold yellow")
    console.print(verdict.sentence, markup=False, highlight=False, style="bold")
