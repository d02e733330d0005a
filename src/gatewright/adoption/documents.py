"""The texts of a project about a table: contract, sources, parameters, cards.

Each guess stands in contract.yaml as a comment with its evidence. What only a person can say is a
hole, `[to be written: ...]`, which the gate of the last environment refuses.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from gatewright.adapters.strict_yaml import to_yaml
from gatewright.adoption.profile import CLOSED, Profile
from gatewright.contract.holes import hole
from gatewright.evaluation.intervals import to_digits
from gatewright.sources.recipe import DIGEST, ColumnRecipe

_PARTS = {
    "weekday": ("Day of the week, Monday is 1", 1, 7),
    "month": ("Month", 1, 12),
    "hour": ("Hour", 0, 23),
}


def quoted(text: str) -> str:
    """A text as a scalar of YAML on one line."""
    return json.dumps(text, ensure_ascii=False)


def comment(text: str) -> str:
    """Words that stay on their line, after a #."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:160]


# contract.yaml


def contract_text(profile: Profile, name: str, description: str) -> str:
    target, task = profile.target, profile.target.task
    column = profile.recipe.target
    lines = [
        "# What goes into the model and what comes out. The check stage, the gate and the version",
        "# number follow from it. It was guessed: each guess has its evidence beside it.",
        "# What is not right, correct; `mlops adopt --review` shows all of them as a table.",
        "",
        f"name: {quoted(name)}",
        f"description: {quoted(description)}",
        "",
        f"# {comment(profile.evidence['key'].evidence)}",
        f"key: [{', '.join(map(quoted, profile.key))}]",
    ]
    if profile.time:
        lines += [f"time: {quoted(profile.time)} # {comment(profile.evidence['time'].evidence)}"]
    if profile.group:
        lines += [f"group: {quoted(profile.group)} # {comment(profile.evidence['group'].evidence)}"]
    if task == "binary":
        words = f"{column} is {target.event}" if target.event else column
    else:
        words = hole(f"what {column} is")
    lines += ["", "target:", f"  name: {quoted(column)} # {comment(target.evidence)}"]
    lines += [f"  description: {quoted(words)}", f"  type: {task}"]
    if target.classes:
        lines.append(f"  classes: [{', '.join(map(quoted, target.classes))}]")
    lines += ["", *_prediction(profile), ""]
    lines += [f"slices: [{', '.join(map(quoted, profile.slices))}]"]
    lines += ["# In what else than Python a version is asked; each is proven equal to the model."]
    lines += ["serve: [api, sql]", ""]
    lines += [
        "# type: integer, number, string, boolean or datetime. `values` closes the categories.",
        "# feature: false keeps a column from the model; personal: true keeps it from everything,",
        "# on_arrival: drop from data/raw, too. afterwards: true is only known once the answer is.",
        "columns:",
    ]
    kept = [n for n in profile.recipe.columns if n != column]
    for of in (*profile.recipe.derived, *kept):
        lines.append(_column_line(profile, of))
    left = profile.recipe.left_out
    if left:
        lines += ["", "# Left out, so not in data/raw (sources.yaml says so to `mlops ingest`):"]
        lines += [f"#   {comment(f'{of}: {why}')}" for of, why in left.items()]
    return "\n".join(lines) + "\n"


def _prediction(profile: Profile) -> list[str]:
    column, target = profile.recipe.target, profile.target
    name = "".join(c if c.isalnum() else "_" for c in column).strip("_") or "target"
    if target.task != "regression":
        said = f"How probable it is that {column} is {target.event}."
        prefix = "probability_"
        if target.task == "multiclass":
            prefix, said = "probability_of_", f"How probable each value of {column} is."
        return [
            "prediction:",
            f"  name: {quoted(prefix + name)}",
            f"  description: {quoted(said)}",
            "  min: 0",
            "  max: 1",
        ]
    values = profile.rows[column]
    low, high = float(values.min()), float(values.max())
    room = high - low
    said = f"{column}, as far as the model knows. {hole('its unit')}"
    return [
        "prediction:",
        f"  name: {quoted('predicted_' + name)}",
        f"  description: {quoted(said)}",
        f"  min: {to_digits(low - room, 2, -1):.12g} # of {low:g} to {high:g} in the table",
        f"  max: {to_digits(high + room, 2, 1):.12g}",
    ]


def _column_line(profile: Profile, name: str) -> str:
    values, how = profile.rows[name], profile.recipe.columns.get(name)
    facts, evidence = _facts(profile, name, values, how)
    role, guess = profile.roles.get(name, ("", None))
    if role == "personal":
        facts += ["feature: false", "personal: true", "on_arrival: drop"]
    elif role == "leak":
        facts += ["feature: false", "afterwards: true"]
    elif name not in profile.features:
        facts += ["feature: false"]
    words = [evidence]
    if guess is not None:
        words.insert(0, f"{guess.value}: {guess.evidence}" if role != "leak" else guess.evidence)
        if role == "leak":
            words.insert(0, "kept out, it tells the target")
        if role == "personal":
            words.insert(0, "kept out until a person says otherwise")
    told = comment("; ".join(word for word in words if word))
    return f"  {quoted(name)}: {{{', '.join(facts)}}}" + (f" # {told}" if told else "")


def _facts(
    profile: Profile, name: str, values: pd.Series, how: ColumnRecipe | None
) -> tuple[list[str], str]:
    """What the contract says of a column, and the evidence of its type."""
    if how is None:
        derived = profile.recipe.derived[name]
        if derived.part == DIGEST:
            words = quoted("Digest of the row's values")
            return [
                "type: string",
                f"description: {words}",
            ], "made on arrival, as nothing else tells rows apart"
        words, low, high = _PARTS[derived.part]
        gaps = bool(values.isna().any())
        more = ["nullable: true", f"max_missing: {_share(values)}"] if gaps else []
        said = quoted(f"{words} of {derived.of}")
        return ["type: integer", f"description: {said}", *more, f"min: {low}", f"max: {high}"], ""
    facts = [f"type: {how.type}", f"description: {quoted(hole(f'what {name} is'))}"]
    if how.unit:
        facts.append(f"unit: {quoted(how.unit)}")
    if values.isna().any():
        facts += ["nullable: true", f"max_missing: {_share(values)}"]
    evidence = profile.types[name].evidence
    known = values.dropna()
    if name in profile.personal:
        return facts, ""
    if how.type in ("integer", "number") and len(known) and name in profile.features:
        facts += _range(known.to_numpy(dtype=float), how.type)
    if how.type == "string" and name in profile.features:
        counts = known.value_counts()
        if len(counts) <= CLOSED and (counts >= 5).mean() > 0.8:
            listed = ", ".join(quoted(str(value)) for value in sorted(counts.index))
            facts.append(f"values: [{listed}]")
    return facts, evidence


def _share(values: pd.Series) -> float:
    """The missing share that is taken for usual: half as much again, and some per cent."""
    return float(min(1.0, round(float(values.isna().mean()) * 1.5 + 0.05, 2)))


def _range(numbers: np.ndarray, kind: str) -> list[str]:
    """Bounds that known values keep with room: as far again on either side, and no sign more."""
    low, high = float(numbers.min()), float(numbers.max())
    room = high - low
    least = 0.0 if low >= 0 else to_digits(low - room, 2, -1)
    most = 0.0 if high <= 0 else to_digits(high + room, 2, 1)
    if kind == "integer":
        least, most = math.floor(least), math.ceil(most)
    return [f"min: {least:.12g}", f"max: {most:.12g}"]


# sources.yaml


def sources_text(profile: Profile) -> str:
    recipe = profile.recipe
    columns = {
        name: {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in how.model_dump(exclude_defaults=True).items()
        }
        for name, how in recipe.columns.items()
    }
    body: dict[str, Any] = {"target": recipe.target, "columns": columns}
    if recipe.derived:
        body["derived"] = {
            name: d.model_dump(mode="json", exclude_defaults=True)
            for name, d in recipe.derived.items()
        }
    if recipe.left_out:
        body["left_out"] = dict(recipe.left_out)
    head = (
        "# How a table that arrives is read (`mlops ingest FILE`), as it was read the first time:\n"
        "# which texts are dates, which words mean yes, which columns are not kept. Change it\n"
        "# where the source changes.\n"
    )
    return head + to_yaml(body)


# params.yaml


def params_text(profile: Profile) -> str:
    trained = len(profile.rows) - profile.test_rows
    leaf = max(5, min(200, trained // 200))
    rare = max(2, min(50, trained // 200))
    baseline = ", ".join(map(quoted, profile.baseline))
    window = ""
    if profile.holdout:
        window = f'\n    - {{from: "{profile.holdout[0]}", until: "{profile.holdout[1]}"}}'
    holdout = f"  holdout:{window or ' []'}"
    linear = "    alpha: 1.0" if profile.is_number else "    C: 1.0\n    max_iter: 1000"
    return f"""\
# What a data scientist turns. A change here is a new minor version. What depends on the number of
# rows was proposed for {trained:,} that train.

split:
  # Rows in these windows only ever test; `until` is the first day after. To use fresher rows
  # for testing, add a window that lies in the future before its data arrives.
{holdout}
  # For data without a time column: this share of the groups or keys tests, chosen by hash.
  share: 0.2

train:
  model: gradient_boosting # or random_forest, linear
  seed: 0
  rare: {rare} # a category of fewer training rows than this is one of the rare ones
  baseline: # the rule of thumb: a tree of at most two columns, those that tell most by themselves
    columns: [{baseline}]
    leaves: 6
  gradient_boosting:
    learning_rate: 0.08
    max_iter: 100
    max_leaf_nodes: {31 if trained >= 2000 else 15 if trained >= 500 else 7}
    min_samples_leaf: {leaf}
    l2_regularization: 1.0
  linear:
{linear}
  random_forest: # in one thread: with n_jobs, its trees are added up in another order each time
    n_estimators: 100
    min_samples_leaf: {max(2, leaf // 2)}
"""


# Words for people


def card_words(profile: Profile) -> str:
    target = profile.recipe.target
    return f"""\
## What it is for

{hole(f"who asks for {target}, when, and what is done with the answer")}

## What it is not for

- {hole("decisions that it must not make, and rows that it was never shown")}

## Limits

- {hole("what is known to be wrong or missing in the data")}
"""


def data_card(profile: Profile, origin: str) -> str:
    rows, target = profile.rows, profile.recipe.target
    values = rows[target]
    if profile.target.task == "binary":
        about = f"`{target}` is {profile.target.event} in {values.mean():.1%} of the rows."
    elif profile.target.task == "multiclass":
        shares = values.value_counts(normalize=True)
        about = "; ".join(f"{name} {share:.1%}" for name, share in shares.items()) + "."
    else:
        about = (
            f"`{target}` runs from {values.min():g} to {values.max():g}, half of the rows lie from "
            f"{values.quantile(0.25):g} to {values.quantile(0.75):g}."
        )
    lines = [
        f"# Data card: {target}",
        "",
        f"**What it is.** {hole('one row is what, from where and when')} {len(rows):,} rows, "
        f"{rows.shape[1]:,} columns, read from `{origin}`.",
        "",
        f"**Source and licence.** {hole('who owns it, and who may use it for what')}",
        "",
        f"**Target.** {about}",
        "",
        "**Columns.** Types, ranges and what was guessed of each stand in `contract.yaml`.",
        "",
        f"**Known weaknesses.** {hole('what is missing, late, or known to be wrong')}",
    ]
    if profile.notes:
        lines += ["", "**Noticed on reading.** " + "; ".join(profile.notes) + "."]
    return "\n".join(lines) + "\n"


def about_text(profile: Profile, origin: str) -> str:
    """The paragraph of the README on what stands here."""
    return (
        f"It was made from `{origin}` and predicts `{profile.recipe.target}`. What was guessed of\n"
        "the table stands in `contract.yaml`, each guess with its evidence; `uv run mlops adopt\n"
        "--review` shows them as a table. What only a person can say is marked\n"
        "`[to be written: ...]`, and production waits for it ([data card](data/README.md)).\n"
    )
