"""gates.yaml: what could be misread is refused with its line; exceptions, doubt, thresholds."""

from __future__ import annotations

import re
import sys
from datetime import date
from typing import Any

import pytest
from parcels import Project, make_model, red

from gatewright.adapters.files import read_text
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.contract.schema import parse_contract
from gatewright.errors import Misuse, Refused
from gatewright.gate.checks import CHECKS
from gatewright.gate.checks.base import Check, Finding
from gatewright.gate.policy import parse_policy, read_policy


def test_an_environment_inherits_and_overrides(made_project: Project) -> None:
    text = read_text(made_project.root / "gates.yaml")
    bounds = parse_policy(text, "production").settings["bounds"].model_dump()["metrics"]
    assert bounds["roc_auc"]["min"] == 0.72
    assert bounds["brier_score"]["max"] == 0.23
    assert parse_policy(text, "dev").digest == parse_policy(text, "production").digest


def an_exception(**changes: str) -> str:
    about = {
        "id": "X-1",
        "check": "bounds",
        "subject": "roc_auc",
        "reason": "a new shop without history",
        "owner": "the data team",
        "expires": "2999-01-31",
    }
    return "  - {" + ", ".join(f"{k}: {v}" for k, v in (about | changes).items()) + "}\n"


CHECKED = "checks:\n"
LINES: dict[str, tuple[str, str, int, str]] = {
    "unknown check": ("  rows:", "  row:", 3, "there is no check 'row'"),
    "unknown check of an environment": (
        "staging: {}",
        "staging: {drift: {}}",
        17,
        "there is no check 'drift'",
    ),
    "typo in a key": ("min_each_class", "min_per_class", 3, "min_per_class: Extra inputs"),
    "unknown metric": ("roc_auc: {min: 0.70}", "auc: {min: 0.70}", 6, "unknown metrics: auc"),
    "unknown metric of a margin": ("roc_auc: 0.02", "auc: 0.02", 9, "unknown metrics: auc"),
    "unknown metric of slices": ("roc_auc: 0.05", "auc: 0.05", 13, "unknown metrics: auc"),
    "metric of another target": ("roc_auc: 0.02", "r2: 0.02", 9, "r2 is no metric of a binary"),
    "metric of a decision": (
        "roc_auc: 0.02",
        "expected_cost: 0.02",
        9,
        "expected_cost is no metric of a binary target without a decision",
    ),
    "slice on a missing column": (
        "  slices:\n",
        "  slices:\n    columns: [shop, colour]\n",
        13,
        "slices.columns names colour, which no row has",
    ),
    "slice on a personal column": (
        "  slices:\n",
        "  slices:\n    columns: [email]\n",
        13,
        "slices.columns names email, which no row has",
    ),
    "fairness on a missing column": (
        CHECKED,
        "checks:\n  fairness: {columns: [age]}\n",
        3,
        "fairness.columns names age",
    ),
    "two champions": (
        "  slices:\n",
        "  champion:\n    metrics: {roc_auc: 0.5}\n  slices:\n",
        12,
        "the key 'champion' is given twice",
    ),
    "wrong side": ("{max: 0.23}", "{min: 0.23}", 7, "brier_score: lower is better"),
    "wrong side of a higher one": ("{min: 0.70}", "{max: 0.70}", 6, "roc_auc: higher is better"),
    "min and max": ("{min: 0.70}", "{min: 0.7, max: 1.0}", 6, "give either min or max"),
    "no bound": ("{min: 0.70}", "{}", 6, "give either min or max"),
    "negative margin": ("brier_score: 0.0}", "brier_score: -0.1}", 9, "must be zero or more"),
    "a margin that is no number": (
        "brier_score: 0.0}",
        "brier_score: some}",
        9,
        "'some' is no margin; write a number, or a share like 2%",
    ),
    "margin that is infinite": ("brier_score: 0.0}", "brier_score: .inf}", 9, "and finite"),
    "a margin of all there is": (
        "brier_score: 0.0}",
        "brier_score: 1.0}",
        9,
        "lets any model pass",
    ),
    "a share of all there is": ("brier_score: 0.0}", 'brier_score: "1000%"}', 9, "100% or more"),
    "a bound that is infinite": ("{max: 0.23}", "{max: .inf}", 7, "finite number"),
    "a time for a number": ("{min: 500,", "{min: 1:30,", 3, "valid integer"),
    "a confidence of no resample": (
        "resamples: 200",
        "confidence: 0.999999, resamples: 200",
        1,
        "of 200 resamples not one lies beyond an interval of 0.999999",
    ),
    "an environment with a slash": ("  staging: {}", "  a/b: {}", 17, "'a/b' is no name of"),
    "an environment with dots": ("  staging: {}", "  ..: {}", 17, "'..' is no name of"),
    "an environment of control characters": (
        "  staging: {}",
        '  "a\\e[1m": {}',
        17,
        "is no name of an environment",
    ),
    "margin that is NaN": ("brier_score: 0.0}", "brier_score: .nan}", 9, "must be zero or more"),
    "no margin": ("{roc_auc: 0.01, brier_score: 0.005}", "{}", 11, "at least 1 item"),
    "too few resamples": ("resamples: 200", "resamples: 10", 1, "sampling.resamples"),
    "no rows asked for": ("{min: 500,", "{min: 0,", 3, "greater than or equal to 1"),
    "an error in another environment": ("{min: 0.72}", "{max: 0.72}", 21, "bounds for production"),
    "bounds that no model keeps": (
        "{min: 0.72}",
        "{min: 0.995}",
        21,
        "line 14 finds 0.99 too good to be true: no model can keep both",
    ),
    "an expired exception": (
        CHECKED,
        "exceptions:\n" + an_exception(expires="2020-01-31") + CHECKED,
        3,
        "the exception X-1 expired on 2020-01-31",
    ),
    "an exception without an owner": (
        CHECKED,
        "exceptions:\n" + an_exception(owner='""') + CHECKED,
        3,
        "exceptions.0.owner: String should have at least 1",
    ),
    "an exception without a reason": (
        CHECKED,
        "exceptions:\n" + an_exception(reason="dunno") + CHECKED,
        3,
        "exceptions.0.reason: String should have at least 10",
    ),
    "an exception that never ends": (
        CHECKED,
        "exceptions:\n" + an_exception().replace(", expires: 2999-01-31", "") + CHECKED,
        3,
        "exceptions.0.expires: Field required",
    ),
    "an exception of no check": (
        CHECKED,
        "exceptions:\n" + an_exception(check="drift") + CHECKED,
        3,
        "X-1 excuses 'drift', which is none of these",
    ),
    "an exception from what was judged": (
        CHECKED,
        "exceptions:\n" + an_exception(check="files") + CHECKED,
        3,
        "X-1 excuses 'files', which is none of these",
    ),
    "an exception of no environment": (
        CHECKED,
        "exceptions:\n" + an_exception(environment="prod") + CHECKED,
        3,
        "X-1 is for 'prod', which is no environment",
    ),
    "an exception twice": (
        CHECKED,
        "exceptions:\n" + 2 * an_exception() + CHECKED,
        3,
        "the exception X-1 stands twice",
    ),
    "doubt in no environment": (
        CHECKED,
        "cannot_tell: {prod: warn}\nchecks:\n",
        2,
        "cannot_tell names no environment of this file: prod",
    ),
    "doubt that is waved through": (
        CHECKED,
        "cannot_tell: {dev: ignore}\nchecks:\n",
        2,
        "cannot_tell.dev: Input should be 'refuse' or 'warn'",
    ),
    "a metric that exists": (
        CHECKED,
        "metrics:\n  roc_auc: {function: a.b:c, higher_is_better: true}\nchecks:\n",
        3,
        "the metric 'roc_auc' exists already",
    ),
    "no YAML": ("checks:", "checks: [", 4, "gates.yaml is not valid YAML"),
}


@pytest.mark.parametrize(("old", "new", "line", "words"), LINES.values(), ids=LINES.keys())
def test_a_policy_that_could_be_misread_is_refused_with_its_line(
    old: str, new: str, line: int, words: str, made_project: Project
) -> None:
    text = read_text(made_project.root / "gates.yaml")
    contract = parse_contract(read_text(made_project.root / "contract.yaml"))
    assert old in text
    with pytest.raises(Refused) as refusal:
        parse_policy(text.replace(old, new, 1), "dev", contract=contract)
    assert words in str(refusal.value)
    assert "gates.yaml" in str(refusal.value)
    assert f"line {line}" in str(refusal.value)


CONTRACT_LINES: dict[str, tuple[str, str, int, str]] = {
    "slice on a missing column": ("slices: [shop]", "slices: [colour]", 7, "colour"),
    "slice on a personal column": ("slices: [shop]", "slices: [email]", 7, "personal columns"),
    "group on a missing column": ("slices:", "group: customer\nslices:", 7, "customer"),
    "target among the columns": (
        "  number: {",
        "  broken: {type: boolean, description: b}\n  number: {",
        9,
        "among the input columns",
    ),
    "typo in a key": ("max_missing", "most_missing", 13, "most_missing"),
}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"), CONTRACT_LINES.values(), ids=CONTRACT_LINES.keys()
)
def test_a_contract_that_could_be_misread_is_refused_with_its_line(
    old: str, new: str, line: int, words: str, made_project: Project
) -> None:
    text = read_text(made_project.root / "contract.yaml")
    assert old in text
    with pytest.raises(Refused) as refusal:
        parse_contract(text.replace(old, new, 1))
    assert words in str(refusal.value)
    assert f"line {line}" in str(refusal.value)


def test_the_line_of_what_is_inherited_is_where_it_stands(made_project: Project) -> None:
    """production overrides roc_auc only; the wrong bound of brier_score is in `checks`."""
    text = read_text(made_project.root / "gates.yaml").replace("{max: 0.23}", "{min: 0.23}")
    with pytest.raises(Refused, match=r"line 7: metrics\.brier_score"):
        parse_policy(text.replace("  dev: {}\n  staging: {}\n", ""), "production")


def test_two_champions_in_the_registry_are_refused(released: Project) -> None:
    def crown(branch: Any) -> None:
        path = branch / "environments/dev.yaml"
        path.write_text(path.read_text() + "version: 2.0.0\n")

    released.change_branch("registry", crown)
    said = released.mlops("gate", expect=1).err
    assert "environments/dev.yaml" in said
    assert re.search(r"line \d+: the key 'version' is given twice", said)


def test_a_bound_that_is_not_a_number_proves_nothing(released: Project) -> None:
    released.edit("gates.yaml", "{min: 0.70}", "{min: .nan}")
    said = released.mlops("gate", expect=1).err
    assert re.search(r"line \d+: metrics\.roc_auc\.min: Input should be a finite number", said)


def test_an_unknown_environment_is_misuse(released: Project) -> None:
    said = released.mlops("gate", "--env", "prod", expect=64)
    assert "There is no environment 'prod'. There are: dev, staging, production." in said.err
    with pytest.raises(Misuse):
        parse_policy(read_text(released.root / "gates.yaml"), "prod")


def test_a_policy_without_environments_is_refused(trained: Project) -> None:
    text = read_text(trained.root / "gates.yaml").partition("environments:")[0]
    (trained.root / "gates.yaml").write_text(text + "environments: {}\n")
    assert "at least 1 item" in trained.mlops("gate", expect=1).err


# Exceptions


def excuse(project: Project, **changes: str) -> None:
    project.edit("gates.yaml", "checks:\n", f"exceptions:\n{an_exception(**changes)}checks:\n")


def out_of_reach(project: Project) -> None:
    project.edit("gates.yaml", "roc_auc: {min: 0.70}", "roc_auc: {min: 0.95}")


def test_an_exception_excuses_what_it_names_and_is_told(released: Project) -> None:
    out_of_reach(released)
    excuse(released)
    verdict = released.ask("gate")
    assert red(verdict) == {"bounds"}
    excused = "excused by X-1 until 2999-01-31, the data team: a new shop without history"
    assert excused in str(verdict)
    assert "EXCUSED" in released.mlops("gate").out
    assert excused in (released.root / "reports/gate.md").read_text()


def test_the_registry_keeps_what_was_excused(released: Project) -> None:
    out_of_reach(released)
    excuse(released)
    released.commit("Excuse it")
    released.retrain(0.5)
    released.mlops("register")
    assert "excused by X-1 until 2999-01-31" in str(released.record("1.1.0"))
    released.mlops("promote", "1.1.0", "--to", "dev")
    live = released.ask("status")["dev"]
    assert live["version"] == "1.1.0"
    assert "excused by X-1 until 2999-01-31" in str(live["evidence"])


@pytest.mark.parametrize(
    "other",
    [{"check": "baseline"}, {"subject": "brier_score"}, {"environment": "production"}],
    ids=str,
)
def test_an_exception_excuses_nothing_else(other: dict[str, str], released: Project) -> None:
    out_of_reach(released)
    excuse(released, **other)
    verdict = released.ask("gate", expect=1)
    assert verdict["decision"] == "no"
    if "environment" not in other:
        assert "The exception X-1 excuses nothing any more: remove it" in verdict["notes"]


def test_an_exception_without_a_subject_is_of_the_whole_check(released: Project) -> None:
    out_of_reach(released)
    line = an_exception().replace("subject: roc_auc, ", "")
    released.edit("gates.yaml", "checks:\n", f"exceptions:\n{line}checks:\n")
    assert released.ask("gate")["decision"] == "yes"


def test_an_exception_ends_with_its_day(made_project: Project) -> None:
    text = read_text(made_project.root / "gates.yaml")
    text = text.replace(
        "checks:\n", f"exceptions:\n{an_exception(expires='2026-06-30')}checks:\n", 1
    )
    assert parse_policy(text, "dev", today=date(2026, 6, 30)).exceptions[0].id == "X-1"
    with pytest.raises(Refused, match="expired on 2026-06-30"):
        parse_policy(text, "dev", today=date(2026, 7, 1))


# What cannot be told


def doubtful(project: Project) -> None:
    project.edit("gates.yaml", "roc_auc: 0.01, brier_score: 0.005", "roc_auc: 0.0")
    project.put_model(make_model(1.5, 1.2))


def test_what_cannot_be_told_is_a_refusal_or_where_the_policy_says_so_a_warning(
    released: Project,
) -> None:
    doubtful(released)
    verdict = released.ask("gate", expect=2)
    assert verdict["decision"] == "undecided"
    assert "these rows would show a difference of" in verdict["sentence"]
    released.edit("gates.yaml", "checks:\n", "cannot_tell: {dev: warn}\nchecks:\n")
    verdict = released.ask("gate")
    assert verdict["decision"] == "yes"
    assert verdict["notes"][-1] == "Not proven, and let pass by cannot_tell: champion"
    assert released.ask("gate", "--env", "production", expect=2)["decision"] == "undecided"


def test_a_warning_excuses_no_refusal(released: Project) -> None:
    released.edit("gates.yaml", "checks:\n", "cannot_tell: {dev: warn}\nchecks:\n")
    out_of_reach(released)
    assert released.ask("gate", expect=1)["decision"] == "no"


# A check that fails


def test_a_check_that_raises_refuses_with_the_error_and_the_others_run(
    released: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(leakage: Any) -> list[Finding]:
        raise ZeroDivisionError("nothing to divide by")

    (leakage,) = (check for check in CHECKS if check.id == "leakage")
    monkeypatch.setattr(leakage, "check", staticmethod(fails))
    verdict = released.ask("gate", expect=1)
    assert red(verdict) == {"leakage"}
    (finding,) = next(a["findings"] for a in verdict["answers"] if a["check"] == "leakage")
    assert finding["cause"] == "internal error"
    words = (
        "internal error: ZeroDivisionError: nothing to divide by (gatewright/gate/verdict.py, line "
    )
    assert finding["message"].startswith(words)
    assert [a["check"] for a in verdict["answers"]] == [check.id for check in CHECKS]


def test_a_check_without_an_answer_refuses(
    released: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (leakage,) = (check for check in CHECKS if check.id == "leakage")
    monkeypatch.setattr(leakage, "check", staticmethod(lambda: []))
    assert "leakage: gave no answer" in released.ask("gate", expect=1)["sentence"]


def test_every_check_asks_a_question_and_has_settings_that_refuse_typos() -> None:
    for check in CHECKS:
        assert issubclass(check, Check)
        assert (check.__doc__ or "").splitlines()[0].endswith("?")
        with pytest.raises(ValueError, match="Extra inputs are not permitted"):
            check.Settings.model_validate({"nonsense": 1})


# The team's own metrics

OWN = """\
import numpy as np


def half_off(y, scores, sample_weight):
    return float(np.average(np.abs(y - scores) > 0.5, weights=sample_weight))
"""


def own_metric(project: Project, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "src/parcel_metrics.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(project.root / "src"))
    about = f"{{function: {function}, higher_is_better: false}}"
    project.edit("gates.yaml", "checks:\n", f"metrics:\n  half_off: {about}\nchecks:\n")
    project.edit(
        "gates.yaml",
        "brier_score: {max: 0.23}",
        "brier_score: {max: 0.23}\n      half_off: {max: 0.4}",
    )


def test_a_metric_of_the_team_is_bounded_with_its_interval(
    released: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_metric(released, "parcel_metrics:half_off", monkeypatch)
    got = released.ask("gate")["metrics"]["half_off"]["candidate"]
    wrong = released.test_rows
    assert 0.1 < got["low"] < got["value"] < got["high"] < 0.4
    assert got["high"] - got["low"] < 4 * (0.25 / len(wrong)) ** 0.5
    released.edit("gates.yaml", "half_off: {max: 0.4}", "half_off: {max: 0.1}")
    assert red(released.ask("gate", expect=1)) == {"bounds"}


@pytest.mark.parametrize("function", ["parcel_metrics:gone", "no_such_module:f", "parcel_metrics"])
def test_a_metric_that_cannot_be_imported_refuses(
    function: str, released: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_metric(released, function, monkeypatch)
    verdict = released.ask("gate", expect=1)
    assert {"bounds", "champion"} <= red(verdict)
    assert "cannot be imported" in str(verdict)
    assert "rows" not in red(verdict)


@pytest.mark.parametrize(
    "words",
    [
        "import sys\ndef f(y, scores, sample_weight):\n    sys.exit(0)\n",
        "class Out(BaseException): pass\ndef f(y, scores, sample_weight):\n    raise Out('x')\n",
        "class Out(BaseException): pass\nraise Out('x')\ndef f():\n    pass\n",
    ],
    ids=["exits", "raises what is no Exception", "the same when imported"],
)
def test_a_metric_that_would_end_the_command_refuses(
    words: str, released: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With status 0 it would be a yes without a verdict."""
    monkeypatch.delitem(sys.modules, "parcel_metrics", raising=False)
    own_metric(released, "parcel_metrics:f", monkeypatch)
    (released.root / "src/parcel_metrics.py").write_text(words)
    verdict = released.ask("gate", expect=1)
    assert {"bounds", "champion"} <= red(verdict)
    monkeypatch.delitem(sys.modules, "parcel_metrics", raising=False)


# Choosing thresholds


def test_explain_tells_question_number_interval_bound_and_result(released: Project) -> None:
    out_of_reach(released)
    said = released.mlops("gate", "--explain", expect=1).out
    for check in CHECKS:
        assert f"{check.id}: {(check.__doc__ or '').splitlines()[0][:40]}" in said
    row = next(line for line in said.splitlines() if "roc_auc" in line and "0.95" in line)
    assert re.search(r"0\.\d{4} .* 0\.\d{4} .*0\.95.*REFUSED", row)
    assert "The smallest difference that these rows would show: roc_auc 0.0" in said


def test_a_policy_is_replayed_over_all_versions(third: Project) -> None:
    rows = third.ask("policy", "test")
    assert [(row["version"], row["champion"], row["decision"]) for row in rows] == [
        ("1.0.0", None, "yes"),
        ("1.1.0", "1.0.0", "yes"),
        ("1.2.0", "1.1.0", "yes"),
    ]
    third.edit("gates.yaml", "roc_auc: {min: 0.70}", "roc_auc: {min: 0.95}")
    said = third.mlops("policy", "test").out
    assert "0 of 3 versions would enter dev." in said
    assert "bounds: roc_auc: 0.8" in said
    assert (
        "3 of 3 versions would enter staging."
        not in third.mlops("policy", "test", "--env", "staging").out
    )
    assert third.live()["dev"] == "1.2.0"


def test_without_versions_there_is_nothing_to_replay(trained: Project) -> None:
    assert "no history to replay" in trained.mlops("policy", "test", expect=1).err


def test_where_nothing_is_live_the_model_at_hand_proposes(trained: Project) -> None:
    said = trained.mlops("policy", "propose").out
    assert "# From the model in the work tree." in said
    low = trained.ask("gate")["metrics"]["roc_auc"]["candidate"]["low"]
    bounds = parse_yaml(said, "proposed")["checks"]["bounds"]["metrics"]
    assert bounds["roc_auc"]["min"] == pytest.approx(low, rel=0.01)
    assert trained.ask("policy", "propose")["from"] is None


def test_the_proposed_thresholds_let_in_what_is_live(second: Project) -> None:
    proposed = parse_yaml(second.mlops("policy", "propose").out, "proposed")
    bounds = proposed["checks"]["bounds"]["metrics"]
    got = second.ask("gate")["metrics"]
    for name, side in (("roc_auc", "low"), ("brier_score", "high")):
        (limit,) = bounds[name].values()
        assert limit == pytest.approx(got[name]["candidate"][side], rel=0.01)
    assert bounds["roc_auc"]["min"] <= got["roc_auc"]["candidate"]["low"]
    assert bounds["brier_score"]["max"] >= got["brier_score"]["candidate"]["high"]
    assert all(margin >= 0 for margin in proposed["checks"]["champion"]["metrics"].values())
    text = read_text(second.root / "gates.yaml")
    for old, new in (
        ("{min: 0.70}", str(bounds["roc_auc"])),
        ("{max: 0.23}", str(bounds["brier_score"])),
    ):
        text = text.replace(old, new.replace("'", ""))
    (second.root / "gates.yaml").write_text(text)
    assert second.ask("gate")["decision"] == "yes"
    assert read_policy(second.root, "dev").settings["bounds"] is not None


def test_the_thresholds_come_as_json_too(second: Project) -> None:
    proposed = second.ask("policy", "propose")
    assert proposed["from"] == "1.1.0"
    assert set(proposed["checks"]) == {"bounds", "champion"}
    assert set(proposed["checks"]["champion"]["metrics"]) == {"roc_auc", "brier_score"}
