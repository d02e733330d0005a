"""A verdict for people (terminal, Markdown) and for machines (JSON)."""

import json
from pathlib import Path

from mlops.artefacts.files import write_whole
from mlops.gate.checks import STATUSES
from mlops.gate.verdict import Verdict

_MARKS = dict(zip(STATUSES, ("pass", "REFUSED", "CANNOT TELL"), strict=True))
_COLOURS = dict(zip(STATUSES, ("green", "bold red", "bold yellow"), strict=True))


def write(verdict: Verdict, folder: Path) -> None:
    """Write gate.json and gate.md."""
    write_whole(folder / "gate.json", to_json(verdict))
    write_whole(folder / "gate.md", to_markdown(verdict))


def to_json(verdict: Verdict) -> str:
    # A strict reader knows no NaN; a number that is none is null.
    text = json.dumps(verdict.to_dict(), ensure_ascii=False)
    return json.dumps(json.loads(text, parse_constant=lambda _: None), indent=2) + "\n"


def to_markdown(verdict: Verdict) -> str:
    lines = [f"# Gate of {verdict.environment}: {verdict.decision}", "", verdict.sentence, ""]
    lines += ["| check | subject | answer | finding |", "| --- | --- | --- | --- |"]
    for answer in verdict.answers:
        for finding in answer.findings:
            cells = (answer.check, finding.subject, _MARKS[finding.status], finding.message)
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    if verdict.metrics:
        models = list(next(iter(verdict.metrics.values())))
        lines += ["", "| metric | " + " | ".join(models) + " |", "| --- " * (len(models) + 1) + "|"]
        for name, by_model in verdict.metrics.items():
            shown = [
                f"{e['value']:.4f} [{e['low']:.4f}, {e['high']:.4f}]" for e in by_model.values()
            ]
            lines.append(f"| {name} | " + " | ".join(shown) + " |")
    lines += ["", f"Policy `{verdict.policy[:12]}`, model `{verdict.model}` (md5).", ""]
    return "\n".join(lines)


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
    console.print(verdict.sentence, markup=False, highlight=False, style="bold")


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
