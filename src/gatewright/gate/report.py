"""A verdict for people (terminal, Markdown) and for machines (JSON)."""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from gatewright.adapters.console import terminal
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
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(to_markdown(verdict))
        except OSError as error:  # the verdict stands, and is shown in the log
            words = f"The summary of this job could not be written ({error.strerror}: {summary})."
            print(words, file=sys.stderr)


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
    """NaN is null in the file: in an interval, and in `power`, which is all numbers."""
    numbers = {"value", "low", "high"}
    power = value.get("power")
    if isinstance(power, dict):
        value["power"] = {k: math.nan if v is None else v for k, v in power.items()}
    return {k: math.nan if k in numbers and v is None else v for k, v in value.items()}


def to_markdown(verdict: Verdict) -> str:
    """The verdict in GitHub's Markdown: the answer, what stops, figures, and the rest folded.

    No text in it is taken for markup.
    """
    try:
        open_ = [*_head(verdict), *_metrics(verdict), *_outlook(verdict)]
        folded = [_findings(verdict), _figures(verdict), _slices(verdict)]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Refused(f"This is no verdict of the gate ({type(error).__name__}).") from None
    text = _cut("\n".join(open_), LONGEST)
    for title, lines in folded:
        if lines:
            room = LONGEST - len(text) - len(title) - len(_FOLDED)
            text += _FOLDED.format(title, _cut("\n".join(lines), room)) if room > 0 else ""
    return text


_FOLDED = "\n<details>\n<summary>{}</summary>\n\n{}\n\n</details>\n"
_FENCE = "\n```"
_TOO_LONG = "\n\nThe rest was too long."


def _cut(text: str, most: int) -> str:
    """The text, or as many of its lines as fit."""
    if len(text) <= most:
        return text
    kept = text[: max(most - len(_FENCE) - len(_TOO_LONG), 0)].rpartition("\n")[0]
    return kept + (_FENCE if kept.count(_FENCE) % 2 else "") + _TOO_LONG


def _head(verdict: Verdict) -> list[str]:
    lines = [f"# Gate of {cell(verdict.environment)}: {verdict.decision}", ""]
    lines += [cell(verdict.sentence), ""]
    for note in verdict.notes:
        lines += [f"**{cell(note)}.**", ""]
    for number, (check, finding) in enumerate(verdict.headline, 1):
        about = ", ".join(filter(None, (check, finding.subject)))
        lines.append(
            f"{number}. **{_MARKS[finding.status]}** {cell(about)}: {cell(finding.message)}"
        )
    if more := verdict.more:
        lines += ["", f"And {more} more, below."]
    return [*lines, ""]


def _metrics(verdict: Verdict) -> list[str]:
    """What every model reached, and how much the candidate gains on what it would replace."""
    if not verdict.metrics:
        return []
    other, models = _opponent(verdict), _models(verdict)
    head = ["metric", *models, f"gain over {other}", "its interval"]
    lines = ["| " + " | ".join(map(cell, head)) + " |", "| --- " * len(head) + "|"]
    margins = _margins(verdict, other)
    for name, by_model in verdict.metrics.items():
        gain = by_model[f"gain over {other}"]
        shown = [f"{float(by_model[model]['value']):.4f}" for model in models]
        cells = [name, *shown, _interval(gain)]
        drawn = f"`{picture(gain, margins.get(name))}`"
        lines.append("| " + " | ".join([*map(cell, cells), drawn]) + " |")
    return [*lines, "", f"{_LEGEND} A gain above zero is better, for every metric.", ""]


_LEGEND = "● the gain, ━ its interval, │ zero, ┊ the margin."
_WIDTH = 25
_NARROW = 15  # in a terminal of 80 columns


def _models(verdict: Verdict) -> list[str]:
    return [m for m in ("candidate", "champion", "baseline") if m in _first(verdict)]


def _opponent(verdict: Verdict) -> str:
    return "champion" if "champion" in _first(verdict) else "baseline"


def _first(verdict: Verdict) -> dict[str, Any]:
    first: dict[str, Any] = next(iter(verdict.metrics.values()))
    return first


def _margins(verdict: Verdict, other: str) -> dict[str, float]:
    """By metric, where the interval of the gain over the other has to end at the lowest."""
    return {
        finding.subject: float(finding.bound)
        for answer in verdict.answers
        for finding in answer.findings
        if answer.check == other and finding.bound is not None
    }


def picture(gain: dict[str, Any], margin: float | None = None, width: int = _WIDTH) -> str:
    """An interval on a line of characters, with zero and the margin; "" of what is no number."""
    value, low, high = (float(gain[key]) for key in ("value", "low", "high"))
    marks = [value, low, high, 0.0, *([] if margin is None else [float(margin)])]
    if not all(map(math.isfinite, marks)):
        return ""
    least, room = min(marks), max(marks) - min(marks)
    if not (0 < room < math.inf):
        return "●".center(width, "·")

    def at(place: float) -> int:
        return 1 + round((place - least) / room * (width - 3))

    line = ["·"] * width
    for place in range(at(low), at(high) + 1):
        line[place] = "━"
    for mark, character in ((margin, "┊"), (0.0, "│"), (value, "●")):
        if mark is not None:
            line[at(mark)] = character
    return "".join(line)


def _outlook(verdict: Verdict) -> list[str]:
    if not verdict.outlook:
        return []
    lines = ["| later | decision | by the same measurements |", "| --- | --- | --- |"]
    for later in verdict.outlook:
        cells = map(cell, (later.environment, later.decision, later.sentence))
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _findings(verdict: Verdict) -> tuple[str, list[str]]:
    lines = ["| check | subject | answer | finding |", "| --- | --- | --- | --- |"]
    for check, finding in verdict.found(*STATUSES):
        cells = (check, finding.subject, _MARKS[finding.status], finding.message)
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    policy, model = cell(verdict.policy[:12]), cell(verdict.model or "not touched")
    lines += ["", f"Policy {policy}, model {model} (md5)."]
    return f"All {len(lines) - 4} findings", lines


def _figures(verdict: Verdict) -> tuple[str, list[str]]:
    if not verdict.metrics:
        return "", []
    models = list(_first(verdict))
    head = [*map(cell, models), "would be seen", "resamples"]
    lines = ["| metric | " + " | ".join(head) + " |", "| --- " * (len(head) + 1) + "|"]
    for name, by_model in verdict.metrics.items():
        shown = [_interval(estimate) for estimate in by_model.values()]
        power = f"{float(verdict.power[name]):.4f}" if name in verdict.power else "-"
        count = f"{verdict.resamples[name]:,}" if name in verdict.resamples else "-"
        lines.append(f"| {cell(name)} | " + " | ".join([*shown, power, count]) + " |")
    return "Figures with their intervals", [
        *lines,
        "",
        f"Would be seen: the smallest true difference from the {_opponent(verdict)} that these "
        "rows show four times of five. Slow metrics, which are functions of scikit-learn or of the "
        "team, are resampled fewer times.",
    ]


def _slices(verdict: Verdict) -> tuple[str, list[str]]:
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
    return "By slice", lines


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
    from rich.table import Table

    console = terminal()
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
    """Print the answer, what stops, the figures, and what later environments would say."""
    from rich.table import Table

    console = terminal()
    _conclude(console, verdict)
    for check, finding in verdict.headline:
        about = ", ".join(filter(None, (check, finding.subject)))
        mark = f"[{_COLOURS[finding.status]}]{_MARKS[finding.status]}[/]"
        console.print(f"{mark} {_literal(about)}: {_literal(finding.message)}", highlight=False)
    if more := verdict.more:
        console.print(f"And {more} more.", highlight=False)
    if verdict.metrics:
        other, models = _opponent(verdict), _models(verdict)
        margins = _margins(verdict, other)
        table = Table("metric", *models, "gain", box=None, padding=(0, 1, 0, 0))
        table.add_column("its interval", no_wrap=True)
        for name, by_model in verdict.metrics.items():
            gain = by_model[f"gain over {other}"]
            shown = [f"{float(by_model[model]['value']):.4f}" for model in models]
            drawn = picture(gain, margins.get(name), _NARROW)
            table.add_row(_literal(name), *shown, f"{float(gain['value']):.4f}", drawn)
        console.print(table)
        legend = f"Gain over the {other}: {_LEGEND}"
        console.print(legend, highlight=False, style="dim")
    for later in verdict.outlook:
        console.print(f"{later.environment}: {later.sentence}.", markup=False, highlight=False)
    count = len(verdict.found(*STATUSES))
    if verdict.model:
        console.print(
            f"{count} findings: `mlops gate --explain` shows each, reports/gate.md keeps them.",
            markup=False,
            highlight=False,
        )


def _literal(text: str) -> str:
    return text.replace("[", r"\[")


def _conclude(console: Any, verdict: Verdict) -> None:
    console.print(verdict.sentence, markup=False, highlight=False, style="bold")
    for note in verdict.notes:
        console.print(f"{note}.", markup=False, highlight=False, style="bold yellow")
