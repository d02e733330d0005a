"""gates.yaml for a table: what is asked follows from what was measured, and on how many rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from gatewright.adoption.documents import quoted
from gatewright.adoption.profile import SHARE, Profile
from gatewright.contract.schema import PERIODS
from gatewright.evaluation.intervals import to_digits
from gatewright.evaluation.leakage import NEAR
from gatewright.evaluation.metrics import rises

# For each task the metrics that judge; the first one leads.
JUDGES = {
    "binary": ("roc_auc", "brier_score"),
    "multiclass": ("roc_auc_ovr", "log_loss"),
    "regression": ("r2", "mean_absolute_error"),
}
ENOUGH = 200  # test rows from which on something can be told, as a rule
ENOUGH_OF_A_CLASS = 40
ENOUGH_GROUPS = 15
_ALWAYS_DRAWN = 12  # rows of a class, of which hardly any draw has none
_FEW_REPEATS, _FEW_NEAR = 0.01, 0.05  # of the rows
_UNBALANCED = 0.1


def judging_metrics(profile: Profile) -> tuple[str, ...]:
    """The metrics that fit the task and how the target is spread."""
    task = profile.target.task
    if task != "regression" and profile.fewest_of_a_class < _ALWAYS_DRAWN:
        return ("log_loss", "brier_score")  # a draw of the rows may lack the class
    if task == "binary":
        share = float(profile.rows[profile.recipe.target].mean())
        if min(share, 1 - share) < _UNBALANCED:
            return ("average_precision", "roc_auc", "brier_score")
    return JUDGES[task]


def too_few(profile: Profile) -> str | None:
    """Why nothing can be judged on so few rows, and how many would do; None if they are enough."""
    rows, fewest = profile.test_rows, profile.fewest_of_a_class
    if rows < ENOUGH:
        need = math.ceil(len(profile.rows) * ENOUGH / max(rows, 1) / 100) * 100
        return (
            f"{rows:,} rows test, and some {ENOUGH} are needed to tell a good model from a bad "
            f"one: about {need:,} rows in all would do"
        )
    if not profile.is_number and fewest < ENOUGH_OF_A_CLASS:
        need = math.ceil(len(profile.rows) * ENOUGH_OF_A_CLASS / max(fewest, 1) / 100) * 100
        return (
            f"{fewest} test rows are of the rarest class, and some {ENOUGH_OF_A_CLASS} are needed: "
            f"about {need:,} rows in all would do"
        )
    if profile.group and (groups := _groups(profile)) < ENOUGH_GROUPS:
        return f"about {groups} groups test, and some {ENOUGH_GROUPS} are needed to draw from"
    return None


def gates_text(profile: Profile, measured: Mapping[str, Any] | None) -> str:
    """gates.yaml; `measured` is reports/metrics.json, None before anything was measured."""
    metrics = judging_metrics(profile)
    few = too_few(profile)
    bounds, margins, gains = _proposed(metrics, measured)
    rows = max(1, math.floor(profile.test_rows * 0.8))
    each = max(1, math.floor(profile.fewest_of_a_class * 0.7))
    each_class = "" if profile.is_number else f"\n    min_each_class: {each}"
    if few:
        each_class += f"\n    enough: {ENOUGH} # fewer cannot tell a good model from a bad one"
        if not profile.is_number:
            each_class += f"\n    enough_each_class: {ENOUGH_OF_A_CLASS}"
    has_groups = profile.group is not None
    groups = f"\n    min_groups: {max(2, min(50, _groups(profile)))}" if has_groups else ""
    if few and has_groups:
        groups += f"\n    enough_groups: {ENOUGH_GROUPS}"
    told = f"# {few}.\n" if few else ""
    doubt = "{}" if few else "{dev: warn}"
    slice_rows = max(50, min(500, profile.test_rows // 10))
    each_of_slice = "" if profile.is_number else f"\n    min_each_class: {max(10, each // 4)}"
    first = metrics[0]
    people = ", ".join(map(quoted, profile.people if profile.target.task == "binary" else ()))
    fairness = (
        "groups of people, guessed from the names of columns: confirm them"
        if people
        else ("groups of people, if rows are about people; none was found by name")
    )
    order = (
        ""
        if not profile.time
        else "\n    time_order: allow # later rows may train, so the test set stays"
    )
    return f"""\
# What a model must prove; what cannot be measured is refused. `checks` holds for every environment;
# an environment may override it. `mlops explain CHECK` prints the page of one and says by what it
# judges, `mlops explain metrics` what may be named; `mlops gate --explain` shows what they find.
#
# Bounds and margins follow from what the first model reached on {profile.test_rows:,} test rows: a
# bound is where its interval ends, a margin what so many rows can tell. They are a start: raise
# them to what whoever uses the answers needs.
{told}
# On GitHub, a version enters these only if somebody approved it: a reviewer of the environment, or
# whoever merges the pull request that proposes it.
approval: [production]

# What must vouch for a version that enters, verified again each time: `signature` by a key of
# security/signers.txt, `attestation` by GitHub. `mlops explain security` says how to get them.
protection: {{production: []}}

# Where test rows cannot settle a question, the answer is no; `warn` lets an environment take doubt.
cannot_tell: {doubt}

# What proves that a model follows from its data and code: `always` builds again, byte for byte,
# what is new; `attested` is for trainings that cannot run again (`mlops explain reproduce`).
reproduce: always

# Whose policy decides a pull request; its report also tells what the later ones would say.
pull_request: dev

sampling:
  confidence: 0.95
  resamples: 1000
  seed: 0

# A refusal that somebody answers for, until a day:
#   - {{id: X-1, check: slices, subject: the slice, reason: ..., owner: ..., expires: 2030-01-31}}
exceptions: []

checks:
  rows: # of the test set
    min: {rows}{each_class}{groups}
  holdout: # known test rows stay, unchanged; true lets a pull request change them, seen by all. New
    # ones judge once a change of data alone has brought them
    may_change: false
  contract: # whether a major version may break what consumers rely on
    may_break: true
  bounds: # the interval must lie wholly on the good side
    metrics:
{_lines(bounds)}
  baseline: # at least this much better than the rule of thumb
    metrics:
      {first}: {_number(gains)}
  champion: # not worse than what is live, by more than this margin
    metrics:
{_lines(margins)}
  slices: # of the contract's columns; refused if proven worse, with Holm's correction
    min_rows: {slice_rows}{each_of_slice}
    metrics: # than what is live, by more than this margin
      {first}: {_number(2 * margins[first])}
  fairness: # {fairness}
    columns: [{people}]
  leakage:
    max_alone: 0.98 # of a single column{_repeats(profile)}{order}
  data: {{}}
  behaviour: {{}} # what people expect of the model, as requests and answers
  operations: # against what is live, in the same run
    max_mb: 50
    max_ratio: 3.0

# In the order in which a version walks through them.
environments:
  dev:
    contract: {{holes: allow}}
  staging:
    contract: {{holes: allow}}
  production: {{}} # where no word that only a person can say may be missing
"""


def _repeats(profile: Profile) -> str:
    """What is usual where many rows are like another one: two standard errors more than else."""
    rows = profile.rows[[*profile.features, profile.recipe.target]]
    near = rows.copy()
    for name in rows.select_dtypes("number", exclude="bool"):
        step = NEAR * float(rows[name].std())
        near[name] = (rows[name] / step).round() if step > 0 else rows[name]
    lines = []
    for setting, table, least, words in (
        ("max_same", rows, _FEW_REPEATS, "are like another one"),
        ("max_near", near, _FEW_NEAR, "are nearly like another one"),
    ):
        share = float(table.duplicated(keep=False).mean())
        if share >= least:
            error = math.sqrt(share * (1 - share) / max(profile.test_rows, 1))
            most = min(to_digits(least + 2 * error, 2, 1), 1.0)
            lines.append(f"\n    {setting}: {_number(most)} # {share:.1%} of the rows {words}")
    return "".join(lines)


def _groups(profile: Profile) -> int:
    """How many groups test, less a fifth."""
    if profile.test_groups is not None:
        return int(profile.test_groups * 0.8)
    rows = profile.rows
    if profile.group in rows:
        return int(rows[profile.group].nunique() * SHARE * 0.8)
    moments = rows[profile.time]
    start = profile.holdout[0] if profile.holdout else moments.min()
    periods = moments[moments >= start].dt.to_period(PERIODS[str(profile.group)])
    return int(periods.nunique() * 0.8)


def _proposed(
    metrics: tuple[str, ...], measured: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any], float]:
    """Bounds and margins by metric, and the least gain on the rule of thumb."""
    bounds, margins = {}, {}
    for name in metrics:
        higher = rises(name)
        entry = measured["metrics"].get(name) if measured else None
        if entry is None:
            bounds[name] = "{min: 0}" if higher else "{max: 1000000000}"
            margins[name] = 0.01
            continue
        got, gain = entry["candidate"], entry["gain"]
        edge = got["low"] if higher else got["high"]
        side = "min" if higher else "max"
        value = to_digits(edge, 3, -1 if higher else 1) if math.isfinite(edge) else 0
        bounds[name] = f"{{{side}: {_number(value)}}}"
        # What the rows can tell of two models that are as unlike as these two.
        half = (gain["high"] - gain["low"]) / 2
        least = abs(got["value"]) * 0.005
        margins[name] = to_digits(max(half if math.isfinite(half) else 0.1, least, 1e-6), 2, 1)
    return bounds, margins, 0.0


def _number(value: float) -> str:
    return f"{value:.12g}" if abs(value) >= 1e-4 or not value else json.dumps(round(value, 12))


def _lines(settings: Mapping[str, Any]) -> str:
    return "\n".join(
        f"      {name}: {value if isinstance(value, str) else _number(value)}"
        for name, value in settings.items()
    )
