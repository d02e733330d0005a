"""A team's own check: a function that gates.yaml names. Whatever it does, it lets nothing pass."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parcels import CONTRACT, Project, make_model, make_rows, red

from gatewright.contract.schema import parse_contract
from gatewright.errors import Refused
from gatewright.evaluation.metrics import OwnMetric, chosen
from gatewright.evaluation.predictions import Answers, answer, truth
from gatewright.gate.checks.base import Finding
from gatewright.gate.inputs import BASELINE, CANDIDATE, GateInputs, Loaded, Sampling, Unavailable
from gatewright.gate.own_checks import INPUTS, MOST_FINDINGS, OwnCheck, ask_own
from gatewright.gate.policy import parse_policies
from gatewright.pipeline.dvc_lock import Lock

BASE = parse_contract(CONTRACT)
GOOD = """\
def heavy_parcels(rows, truth, labels, settings):
    '''Is it right about heavy parcels?'''
    heavy = (rows["weight"] > settings.get("from", 1)).to_numpy()
    right = float((labels[heavy] == truth[heavy]).mean())
    status = "pass" if right >= settings["least"] else "refuse"
    yield {"status": status, "message": f"{right:.2f} right", "subject": "heavy", "value": right}
    yield "pass", "and light ones", "light"
"""


@pytest.fixture
def inputs() -> GateInputs:
    rows = make_rows(400).drop(columns="email")
    model = make_model()
    given = GateInputs(Path(), BASE, Lock({}, {}, {}, {}), None, Sampling())
    said = answer(model, rows, BASE, CANDIDATE)
    loaded: dict[str, Any] = {
        "rows": rows,
        "train": rows,
        "truth": truth(rows, BASE),
        "candidate": model,
        "answers": {CANDIDATE: said, BASELINE: said},
    }
    vars(given).update({name: Loaded(value) for name, value in loaded.items()})
    return given


class Team:
    """The team's package, a module of which a test writes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "team_checks", raising=False)

    def ask(
        self, code: str, inputs: GateInputs, settings: Mapping[str, Any] | None = None, **own: Any
    ) -> tuple[Finding, ...]:
        (self.folder / "team_checks.py").write_text(code)
        name = code.partition("def ")[2].partition("(")[0]
        check = OwnCheck(function=f"team_checks:{name}", **own)
        return ask_own(check, settings or {}, "dev", inputs)


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    return Team(tmp_path, monkeypatch)


def test_it_gets_what_it_names_and_says_what_it_finds(team: Team, inputs: GateInputs) -> None:
    heavy, light = team.ask(GOOD, inputs, {"least": 0.6})
    assert (heavy.status, heavy.subject, light.status) == ("pass", "heavy", "pass")
    assert heavy.estimate is not None
    assert heavy.message == f"{heavy.estimate.value:.2f} right"
    assert light == Finding("pass", "and light ones", "light")


def test_every_input_can_be_had(team: Team, inputs: GateInputs) -> None:
    names = ", ".join(INPUTS)
    code = (
        f"def f({names}):\n    assert predict(rows).shape == scores.shape\n    yield 'pass', str("
    )
    (finding,) = team.ask(code + "[champion_scores, champion_version, environment])\n", inputs)
    assert finding.message == "[None, None, 'dev']"


def test_it_cannot_change_what_others_judge_on(team: Team, inputs: GateInputs) -> None:
    before = inputs.rows.need().copy(), inputs.answers.need()[CANDIDATE].labels.copy()
    code = "def f(rows, labels, truth):\n    rows['weight'] = 0\n    labels[:] = truth\n"
    team.ask(code + "    yield 'pass', 'all is well'\n", inputs)
    assert inputs.rows.need().equals(before[0])
    np.testing.assert_array_equal(inputs.answers.need()[CANDIDATE].labels, before[1])


def test_labels_are_numbers_to_compute_with(team: Team, inputs: GateInputs) -> None:
    """They are held in eight bits, in which 0 - 2 is 254 and 200 times 2 does not fit."""
    code = "def f(labels, truth):\n    spread = (labels - 2).min(), (200 * labels).max()\n"
    (finding,) = team.ask(code + "    yield 'pass', f'{spread[0]} to {spread[1]}'\n", inputs)
    assert finding.message == "-2 to 200"
    assert inputs.answers.need()[CANDIDATE].labels.dtype == np.uint8


def test_metrics_of_the_team_compute_with_labels_too(team: Team) -> None:
    """0 - 1 of a wrong row is -1, not 255."""
    code = "def off(truth, labels, sample_weight):\n    return abs(labels - truth).mean()\n"
    (team.folder / "team_checks.py").write_text(code)
    own = {"off": OwnMetric(function="team_checks:off", higher_is_better=False, of="labels")}
    (metric,) = (m for m in chosen(parse_contract(CONTRACT), ("off",), own) if m.name == "off")
    assert metric.function is not None
    labels, came_true = np.array([0, 1, 0, 1], np.uint8), np.array([True, True, False, False])
    assert metric.function(came_true, Answers(labels / 2, labels), np.ones(4)) == 0.5


BAD: dict[str, tuple[str, str]] = {
    "it raises": ("def f():\n    raise KeyError('x')\n", "fails: KeyError: 'x', in team_checks.py"),
    "it raises half way": ("def f():\n    yield 'pass', 'a'\n    1 / 0\n", "ZeroDivisionError"),
    "it exits": ("import sys\ndef f():\n    sys.exit(0)\n", "fails: SystemExit: 0"),
    "it prints": ("def f():\n    print('hello')\n    yield 'pass', 'a'\n", "prints 'hello'"),
    "it yields nothing": ("def f():\n    yield from ()\n", "yields no finding"),
    "it returns nothing": ("def f():\n    pass\n", "returns NoneType"),
    "it returns words": ("def f():\n    return 'pass'\n", "returns str"),
    "it returns one finding": ("def f():\n    return {'status': 'pass'}\n", "returns dict"),
    "it yields words": ("def f():\n    yield 'pass'\n", "'pass', which is no finding"),
    "it yields a bool": ("def f():\n    yield True\n", "which is no finding"),
    "another status": ("def f():\n    yield 'excused', 'a'\n", "which is no finding"),
    "no status at all": ("def f():\n    yield {'message': 'a'}\n", "which is no finding"),
    "no words": ("def f():\n    yield 'pass', ' '\n", "which is no finding"),
    "a key too many": (
        "def f():\n    yield {'status': 'pass', 'message': 'a', 'cause': 'b'}\n",
        "which is no finding",
    ),
    "a value that is no number": (
        "def f():\n    yield {'status': 'pass', 'message': 'a', 'value': float('nan')}\n",
        "which is no finding",
    ),
    "a status that cannot be looked up": ("def f():\n    yield [], 'a'\n", "which is no finding"),
    "an input that there is not": ("def f(y_true):\n    yield 'pass', 'a'\n", "asks for y_true"),
    "it never ends": ("def f():\n    while True:\n        pass\n", "takes more than 0.2 s"),
    "it never ends and will not be stopped": (
        "def f():\n    while True:\n        try:\n            while True:\n                pass\n"
        "        except Exception:\n            pass\n",
        "takes more than 0.2 s",
    ),
    "findings without end": (
        "def f():\n    while True:\n        yield 'pass', 'a'\n",
        f"yields more than {MOST_FINDINGS:,} findings",
    ),
    "it cannot be imported": ("1 / 0\ndef f():\n    pass\n", "cannot be imported (ZeroDivision"),
    "it exits when imported": ("raise SystemExit\ndef f():\n    pass\n", "cannot be imported"),
    "it is no function": ("f = 1\n# def f()", "is no function"),
}


@pytest.mark.parametrize(("code", "words"), BAD.values(), ids=BAD.keys())
def test_whatever_else_it_does_is_refused_with_a_sentence(
    code: str, words: str, team: Team, inputs: GateInputs
) -> None:
    with pytest.raises(Refused) as refusal:
        team.ask(code, inputs, seconds=0.2 if "0.2 s" in words else 300)
    assert words in str(refusal.value)


def test_what_is_printed_when_it_is_imported_is_no_answer_for_machines(
    team: Team, inputs: GateInputs, capsys: pytest.CaptureFixture[str]
) -> None:
    team.ask("print('hello')\ndef f():\n    yield 'pass', 'a'\n", inputs)
    assert capsys.readouterr().out == ""


def test_what_cannot_be_had_is_refused_with_its_reason(team: Team, inputs: GateInputs) -> None:
    vars(inputs)["rows"] = Unavailable("The test set is unreadable.")
    with pytest.raises(Refused, match="The test set is unreadable"):
        team.ask("def f(rows):\n    yield 'pass', 'a'\n", inputs)


# In gates.yaml

CHECKED = """\
checks:
  bounds: {metrics: {roc_auc: {min: 0.7}}}
  baseline: {metrics: {roc_auc: 0.02}}
  champion: {metrics: {roc_auc: 0.005}}
  heavy: {least: 0.6}
environments:
  dev: {}
  production:
    heavy: {least: 0.7}
"""


def test_its_settings_are_inherited_as_those_of_any_check() -> None:
    own = "own_checks: {heavy: {function: team.checks:heavy}}\n"
    policies = parse_policies(own + CHECKED)
    assert policies.of("dev").own_settings == {"heavy": {"least": 0.6}}
    assert policies.of("production").own_settings == {"heavy": {"least": 0.7}}


WRONG: dict[str, tuple[str, str]] = {
    "no such check": ("", "line 5: there is no check 'heavy'"),
    "no path": ("own_checks: {heavy: {function: heavy}}\n", "line 1: own_checks.heavy.function"),
    "a name that exists": (
        "own_checks:\n  heavy: {function: a:b}\n  bounds: {function: a:b}\n",
        "line 3: the check 'bounds' exists already",
    ),
    "the name of what comes first": (
        "own_checks:\n  heavy: {function: a:b}\n  lock: {function: a:b}\n",
        "line 3: the check 'lock' exists already",
    ),
    "a setting that there is not": (
        "own_checks: {heavy: {function: a:b, minutes: 1}}\n",
        "own_checks.heavy.minutes",
    ),
}


@pytest.mark.parametrize(("own", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_could_be_misread_is_refused_with_its_line(own: str, words: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_policies(own + CHECKED)
    assert words in str(refusal.value)


def test_a_model_that_it_refuses_does_not_enter(
    released: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (released.root / "src/heavy_checks.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(released.root / "src"))
    own = "own_checks:\n  heavy: {function: heavy_checks:heavy_parcels}\n"
    released.edit("gates.yaml", "checks:\n", f"{own}checks:\n  heavy: {{least: 0.6}}\n")
    answers = released.ask("gate")["answers"]
    assert answers[-1]["question"] == "Is it right about heavy parcels?"
    released.edit("gates.yaml", "heavy: {least: 0.6}", "heavy: {least: 1}")
    verdict = released.ask("gate", expect=1)
    assert red(verdict) == {"heavy"}
    assert "heavy: heavy: 0." in verdict["sentence"]
    excused = "{id: X-1, check: heavy, reason: it is only a test, owner: ada, expires: 2999-01-01}"
    released.edit("gates.yaml", "own_checks:", f"exceptions: [{excused}]\nown_checks:")
    assert released.ask("gate")["decision"] == "yes"
