"""What a server needs of a version: one folder of plain files, verified when it is made and read.

Reading one needs neither scikit-learn nor DVC nor Git.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gatewright.errors import Refused
from gatewright.forms.ask import Asker
from gatewright.forms.plan import Plan, parse_plan

ABOUT, PLAN, CARD = "about.json", "plan.json", "model-card.md"
FORMAT = 1
TOLERANCE = 1e-6  # of a golden answer, as `mlops smoke` has it


@dataclass(frozen=True)
class Input:
    """A column of a request, as the contract describes it. Without limits they are None."""

    name: str
    type: str
    description: str
    unit: str | None
    nullable: bool
    min: float | None
    max: float | None
    values: tuple[str, ...] | None
    feature: bool


@dataclass(frozen=True)
class About:
    """What consumers are told of a version, and what of its contract a server needs.

    inputs: the columns that a request may have. personal: those that it may not. actions: what is
    done, by number of the class; empty without a decision. golden: requests, and their answers.
    """

    project: str
    description: str
    version: str
    environment: str | None
    since: str
    approved_by: str | None
    model: str
    commit: str
    plan: str
    key: tuple[str, ...]
    inputs: tuple[Input, ...]
    personal: tuple[str, ...]
    task: str
    target: str
    answer: str
    answer_words: str
    classes: tuple[str | bool, ...]
    actions: tuple[str, ...]
    unit: str | None
    golden: tuple[dict[str, Any], ...]
    format: int = FORMAT


@dataclass(frozen=True)
class Bundle:
    """A version that answers."""

    about: About
    plan: Plan
    card: str


def about_text(about: About) -> str:
    return json.dumps(asdict(about), ensure_ascii=False, indent=1) + "\n"


def read_bundle(folder: Path) -> Bundle:
    """Raises Refused if a file is missing, altered, or its golden answers are others now."""
    try:
        about = _about(json.loads((folder / ABOUT).read_text(encoding="utf-8")))
        content = (folder / PLAN).read_bytes()
        card = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(
            f"{folder} is no whole bundle ({error}), so nothing is answered from it. Make it again "
            "with `mlops bundle ENV --output FOLDER`."
        ) from None
    if hashlib.sha256(content).hexdigest() != about.plan:
        raise Refused(
            f"{folder / PLAN} is not the file that {about.version} was registered with: it was "
            "altered. Make the bundle again with `mlops bundle ENV --output FOLDER`."
        )
    bundle = Bundle(about, parse_plan(content.decode()), card)
    check_golden(bundle)
    return bundle


def check_golden(bundle: Bundle) -> None:
    """Raises Refused if it does not give the answers that it gave when it was registered."""
    asker, about = Asker(bundle.plan), bundle.about
    for number, pair in enumerate(about.golden, 1):
        request = dict.fromkeys(bundle.plan.inputs) | plain_request(pair["request"])
        scores = asker.scores(request)
        wanted = pair["answer"] if isinstance(pair["answer"], list) else [pair["answer"]]
        apart = [abs(a - b) > TOLERANCE * (1 + abs(b)) for a, b in zip(scores, wanted, strict=True)]
        said = about.classes[asker.recommended(scores)] if about.classes else None
        if any(apart) or said != pair.get("recommends"):
            raise Refused(
                f"{about.version} answers golden row {number} with {scores}, where it was "
                f"registered with {wanted}. It is not what was judged, so it does not answer."
            )


def plain_request(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in request.items()}


def _about(values: dict[str, Any]) -> About:
    if values.get("format") != FORMAT:
        raise ValueError(f"it is of format {values.get('format')}, and this reads {FORMAT}")
    inputs = tuple(
        Input(**{**item, "values": tuple(item["values"]) if item["values"] else None})
        for item in values.pop("inputs")
    )
    listed: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    return About(inputs=inputs, **listed)
