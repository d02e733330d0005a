"""Every check has a page that is true of it, as far as a test can tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from parcels import CONTRACT

from gatewright.contract.schema import Strict, parse_contract
from gatewright.evaluation.bootstrap import SLOW
from gatewright.evaluation.metrics import NAMES
from gatewright.evaluation.predictions import Answers
from gatewright.gate.checks import CHECKS
from gatewright.gate.checks.base import Check
from gatewright.gate.inputs import GateInputs, Loaded, Sampling
from gatewright.gate.own_checks import INPUTS, OwnCheck, ask_own
from gatewright.gate.policy import parse_policies, parse_policy
from gatewright.pipeline.dvc_lock import Lock

PAGES = Path(__file__).parents[2] / "src/gatewright/pages/checks"
HEADINGS = ["Why", "How", "Setting it", "A refusal", "How often it is wrong"]
NEEDED = {
    "bounds": {"metrics": {"roc_auc": {"min": 0.7}}},
    "baseline": {"metrics": {"roc_auc": 0.02}},
    "champion": {"metrics": {"roc_auc": 0.005}},
}


def page(check: type[Check]) -> str:
    return (PAGES / f"{check.id}.md").read_text(encoding="utf-8")


def settings(check: type[Check]) -> tuple[str, dict[str, Any]]:
    """The YAML of a page: its text, and what it sets of the check."""
    block = page(check).partition("## Setting it")[2].partition("```yaml\n")[2].partition("```")[0]
    return block, yaml.safe_load(block)[check.id]


def question(check: type[Check]) -> str:
    return (check.__doc__ or "").splitlines()[0]


each = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)


@each
def test_each_check_has_a_page_with_its_question(check: type[Check]) -> None:
    title, _, first, *_ = page(check).splitlines()
    assert (title, first) == (f"# {check.id}", question(check))
    assert re.findall(r"^## (.+)$", page(check), re.MULTILINE) == HEADINGS
    assert f"\n{check.id}: " in page(check).partition("## A refusal")[2]


@each
def test_what_a_page_sets_is_a_policy(check: type[Check]) -> None:
    _, own = settings(check)
    text = yaml.safe_dump({"checks": NEEDED | {check.id: own}, "environments": {"dev": {}}})
    assert isinstance(parse_policy(text, "dev").settings[check.id], Strict)


@each
def test_a_page_names_every_setting_with_its_default_or_an_example(check: type[Check]) -> None:
    block, own = settings(check)
    assert set(own) == set(check.Settings.model_fields)
    for name, field in check.Settings.model_fields.items():
        part = re.search(rf"^  {name}:.*\n(?:    .*\n)*", block, re.MULTILINE)
        assert part, name
        if "example" not in part[0]:
            default = field.get_default(call_default_factory=True)
            assert own[name] == default, f"{name} is {default} by default"


def test_the_index_names_the_checks_in_their_order_and_no_others() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (.+) \|$", index, re.MULTILINE)
    assert rows == [(check.id, check.id, question(check)) for check in CHECKS]
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README", "own"}
    assert pages == {check.id for check in CHECKS}


def test_the_page_of_own_checks_names_every_input_and_its_example_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (PAGES / "own.md").read_text(encoding="utf-8")
    table = text.partition("| --- | --- |\n")[2].partition("\n\n")[0]
    named = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()]
    assert sorted(name for names in named for name in names) == sorted(INPUTS)
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    example = yaml.safe_load(blocks[1][1])
    example["checks"] |= NEEDED
    example["environments"] = {"dev": {}} | example["environments"]
    policies = parse_policies(yaml.safe_dump(example, sort_keys=False))
    assert policies.of("production").own_settings["night"] == {"from": 22, "least": 0.75}
    assert policies.of("dev").own_checks["night"].seconds == OwnCheck(function="a:b").seconds
    (tmp_path / "late_flights_of_the_page.py").write_text(blocks[0][1])
    monkeypatch.syspath_prepend(str(tmp_path))
    given = GateInputs(Path(), parse_contract(CONTRACT), Lock({}, {}, {}, {}), None, Sampling())
    said = Answers(np.array([0.7, 0.2, 0.6]), np.array([1, 0, 1]))
    vars(given).update(
        rows=Loaded(pd.DataFrame({"hour": [23, 5, 22]})),
        truth=Loaded(np.array([True, True, False])),
        answers=Loaded({"candidate": said}),
    )
    own = OwnCheck(function="late_flights_of_the_page:night")
    (finding,) = ask_own(own, {"from": 22, "least": 0.7}, "dev", given)
    assert (finding.status, finding.message) == ("refuse", "50.0% right")


def test_the_page_of_metrics_names_those_that_are_fast() -> None:
    text = (PAGES.parent / "metrics.md").read_text(encoding="utf-8")
    table = text.partition("| --- | --- |\n")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(NAMES)
    assert f"first {SLOW} resamples" in text


def test_the_index_says_of_every_check_by_what_it_judges() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    table = index.partition("| check | judges |\n| --- | --- |\n")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines() for name in row.split("|")[1].strip().split(", ")]
    assert sorted(named) == sorted(check.id for check in CHECKS)


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", path.read_text("utf-8")):
        other = path.parent / target if target else path
        assert other.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", other.read_text("utf-8"), re.MULTILINE)
            assert anchor in [title.lower().replace(" ", "-") for title in titles]
