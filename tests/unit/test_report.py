"""A report leads with the answer; what a reviewer need not see is folded."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from gatewright.errors import Refused
from gatewright.gate import report
from gatewright.gate.checks.base import Finding
from gatewright.gate.verdict import Answer, Outlook, Verdict

NAN = math.nan


def interval(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


METRICS = {
    "roc_auc": {
        "candidate": interval(0.72, 0.71, 0.73),
        "baseline": interval(0.6, 0.59, 0.61),
        "champion": interval(0.736, 0.73, 0.74),
        "gain over baseline": interval(0.12, 0.1, 0.14),
        "gain over champion": interval(-0.016, -0.018, -0.014),
    }
}
ANSWERS = (
    Answer("rows", "Enough?", (Finding("pass", "2,000 of at least 500", "test rows"),)),
    Answer(
        "bounds",
        "Kept?",
        (
            Finding("refuse", "0.72, all of it to be at least 0.8", "roc_auc", bound=0.8),
            Finding("refuse", "0.2, all of it to be at most 0.1", "brier_score", bound=0.1),
            Finding("refuse", "0.6, all of it to be at most 0.5", "log_loss", bound=0.5),
        ),
    ),
    Answer("baseline", "Better?", (Finding("pass", "gain 0.12", "roc_auc", bound=0.02),)),
    Answer(
        "champion", "Not worse?", (Finding("refuse", "worse than 1.0.0", "roc_auc", bound=-0.005),)
    ),
    Answer("slices", "Nowhere worse?", (Finding("unsure", "cannot be told", "origin JFK"),)),
)
VERDICT = Verdict(
    environment="dev",
    decision="no",
    policy="a" * 64,
    model="b" * 32,
    champion="1.0.0",
    answers=ANSWERS,
    metrics=METRICS,
    notes=("It changes the policy",),
    power={"roc_auc": 0.01},
    resamples={"roc_auc": 200},
    outlook=(Outlook("production", "no", "1.0.0", ("bounds: roc_auc: too low", "another")),),
)


def at(text: str, *parts: str) -> list[int]:
    places = [text.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    return places


def test_it_leads_with_the_answer_and_three_findings_and_folds_the_rest() -> None:
    text = report.to_markdown(VERDICT)
    places = at(
        text,
        *(
            "# Gate of dev: no",
            "No: the model may not enter dev. bounds: roc\\_auc".replace("\\", ""),
        ),
        *(
            "**It changes the policy.**",
            "1. **REFUSED** bounds, roc_auc",
            "2. **REFUSED** champion",
        ),
        *("And 2 more, below.", "| metric | candidate"),
        *("| later |", "| production | no |", "<details>\n<summary>All 7 findings</summary>"),
        *("| rows | test rows | pass |", "<summary>Figures with their intervals</summary>"),
    )
    assert places == sorted(places)
    assert "\n4." not in text
    assert text.count("<details>") == text.count("</details>") == 2


def test_each_check_is_a_headline_before_one_is_twice_and_refusals_before_doubt() -> None:
    assert [check for check, _ in VERDICT.headline] == ["bounds", "champion", "bounds"]
    doubt = replace(VERDICT, answers=(ANSWERS[4], ANSWERS[3]))
    assert [check for check, _ in doubt.headline] == ["champion", "slices"]
    assert replace(VERDICT, answers=ANSWERS[:1]).headline == []


def test_metrics_stand_against_champion_and_baseline_with_a_picture() -> None:
    row = next(line for line in report.to_markdown(VERDICT).splitlines() if "| roc_auc | 0" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["roc_auc", "0.7200", "0.7360", "0.6000"]
    assert cells[4].replace("\\", "") == "-0.0160 [-0.0180, -0.0140]"
    assert cells[5] == f"`{report.picture(METRICS['roc_auc']['gain over champion'], -0.005)}`"


@pytest.mark.parametrize(
    ("gain", "margin", "drawn"),
    [
        ((0.0, -1.0, 1.0), None, "·━━━━━━━━━━━●━━━━━━━━━━━·"),
        ((2.0, 1.0, 3.0), None, None),
        ((-2.0, -3.0, -1.0), -0.5, None),
        ((0.0, 0.0, 0.0), 0.0, "············●············"),
        ((NAN, NAN, NAN), None, ""),
        ((1.0, 0.0, math.inf), None, ""),
        ((1e308, -1e308, 1e308), None, "············●············"),
    ],
)
def test_a_picture_is_to_scale(
    gain: tuple[float, float, float], margin: float | None, drawn: str | None
) -> None:
    line = report.picture(interval(*gain), margin)
    if drawn is not None:
        assert line == drawn
        return
    assert len(line) == 25
    marks = sorted((value, mark) for value, mark in ((gain[0], "●"), (0.0, "│")))
    assert line.index(marks[0][1]) < line.index(marks[1][1])
    assert ("┊" in line) == (margin is not None)
    zero, value = line.index("│"), line.index("●")
    assert (zero < line.index("━")) == (gain[1] > 0)
    assert line[value - 1] == line[value + 1] == "━"


def shown(verdict: Verdict, capsys: pytest.CaptureFixture[str]) -> str:
    report.show(verdict)
    return " ".join(capsys.readouterr().out.split())


def test_the_terminal_has_the_same_order(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(VERDICT, capsys)
    places = at(
        text,
        *("No: the model may not enter dev.", "It changes the policy."),
        *(
            "REFUSED bounds, roc_auc",
            "REFUSED champion, roc_auc",
            "And 2 more.",
            "metric candidate",
        ),
        *("●━", "Gain over the champion: ● the gain"),
        *("production: would refuse it: bounds: roc_auc: too low, and 1 more.", "7 findings:"),
    )
    assert places == sorted(places)
    assert "test rows" not in text


def test_pictures_fit_a_terminal_of_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    report.show(replace(VERDICT, metrics={"expected_calibration_error": METRICS["roc_auc"]}))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "●━" in line]
    assert row.startswith("expected_calibration_error 0.7200")
    assert len(row.rstrip()) <= 80
    assert "…" not in row


def test_brackets_of_a_finding_are_no_markup_of_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nasty = (Answer("x[red]", "?", (Finding("refuse", "[/bold] [link=http://a]b", "[s]"),)),)
    text = shown(replace(VERDICT, answers=nasty), capsys)
    assert "REFUSED x[red], [s]: [/bold] [link=http://a]b" in text


OUTLOOKS = {
    "yes": (Outlook("p", "yes", None, ()), "would take it"),
    "no": (Outlook("p", "no", None, ("a: b.",)), "would refuse it: a: b"),
    "undecided": (
        Outlook("p", "undecided", "1.0.0", ("a: b",)),
        "would not take it, because it is not proven: a: b",
    ),
    "open": (
        Outlook("p", "open", "1.0.0", (), ("champion", "slices")),
        "nothing stops it so far; not asked, as 1.0.0 is live there: champion, slices",
    ),
}


@pytest.mark.parametrize(("outlook", "words"), OUTLOOKS.values(), ids=OUTLOOKS.keys())
def test_an_outlook_says_what_would_happen(outlook: Outlook, words: str) -> None:
    assert outlook.sentence == words


def long(count: int) -> Verdict:
    findings = tuple(Finding("pass", "words " * 20, f"s{n}") for n in range(count))
    values = {
        f"v{n}": {"rows": 200, "log_loss": {"candidate": interval(n, n, n)}} for n in range(count)
    }
    answers = (Answer("rows", "?", findings),)
    return replace(VERDICT, decision="yes", answers=answers, slices={"origin": values})


@pytest.mark.parametrize("count", [1, 300, 450, 475, 500, 3000])
def test_what_is_too_long_for_a_comment_is_cut_in_what_is_folded(count: int) -> None:
    text = report.to_markdown(long(count))
    assert len(text) <= report.LONGEST + 200
    assert text.count("<details>") == text.count("</details>")
    assert text.count("```") % 2 == 0
    assert "| metric | candidate" in text
    assert ("The rest was too long." in text) == (count > 300)


def test_json_keeps_everything_and_can_be_read_again() -> None:
    text = report.to_json(VERDICT)
    assert report.from_json(text) == VERDICT
    assert json.loads(text)["outlook"][0]["findings"] == ["bounds: roc_auc: too low", "another"]


def test_what_has_no_value_is_told_as_such() -> None:
    none = {"roc_auc": {model: interval(NAN, NAN, NAN) for model in METRICS["roc_auc"]}}
    verdict = replace(VERDICT, metrics=none, power={"roc_auc": NAN})
    again = report.from_json(report.to_json(verdict))
    assert "nan [nan, nan]" in report.to_markdown(again).replace("\\", "")


HOSTILE: dict[str, Any] = {
    "a figure is words": {"metrics": {"roc_auc": {"candidate": "much"}}},
    "no gain": {"metrics": {"roc_auc": {"candidate": interval(1, 1, 1)}}},
    "metrics of nothing": {"metrics": {"roc_auc": {}}},
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE.keys())
def test_figures_that_are_none_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="no verdict of the gate"):
        report.to_markdown(replace(VERDICT, **fields))


def test_a_no_without_a_reason_is_told_all_the_same() -> None:
    """As in a file that a fork wrote."""
    text = report.to_markdown(replace(VERDICT, answers=()))
    assert "No: the model may not enter dev. It gives no reason." in text


def test_the_words_of_a_later_environment_become_no_markup() -> None:
    nasty = Outlook("<b>@acme", "no", None, ("[a](http://evil) | <img src=x>",))
    text = report.to_markdown(replace(VERDICT, outlook=(nasty,)))
    for part in ("<b>", "@acme", "[a](", "<img"):
        assert part not in text
