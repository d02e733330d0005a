"""The forms that a contract asks for, made of a model, proven, and described for its record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gatewright.adapters.dvc import StoredFile, describe
from gatewright.adapters.files import digest, text_digest, write_whole
from gatewright.adapters.model_file import load_model
from gatewright.contract.schema import Contract
from gatewright.evaluation.predictions import read_rows
from gatewright.forms import prove
from gatewright.forms.ask import Asker
from gatewright.forms.compile import NoPlan, compile_model
from gatewright.forms.plan import Linear, Plan, plan_text
from gatewright.forms.sql import DIALECTS, sql_of
from gatewright.paths import MODEL, PLAN, TEST, TRAIN

KNOWN = 5_000  # training rows that say what is usual in a column
TABLE = "requests"  # that a query is made for where nobody names another


@dataclass(frozen=True)
class Forms:
    """files: what is stored with the version. told: by form, digests and proof, or a refusal."""

    files: tuple[StoredFile, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)


def make_forms(root: Path, contract: Contract, allowed: frozenset[str], folder: Path) -> Forms:
    """Make and prove them in `folder`. A form that does not hold is told, and not stored."""
    if not contract.serve:
        return Forms()
    model = load_model(root / MODEL, allowed)
    try:
        plan = compile_model(model, contract, digest(root / MODEL))
    except NoPlan as why:
        return Forms(told={form: {"refused": str(why)} for form in contract.serve})
    plan = _with_means(plan, contract, root)
    known = prove.plain_rows(read_rows(root / TEST, contract), contract)
    hard = prove.hard_rows(plan, contract, known)
    rows = {name: known[name] + hard[name] for name in known}
    said = prove.model_answers(model, contract, rows)
    count = len(next(iter(hard.values())))
    told: dict[str, Any] = {}
    for form in contract.serve:
        ask = _ASK[form]
        proof = prove.compared(said, ask(plan, contract, rows), plan, count)
        told[form] = _proven(proof) if proof.holds else {"refused": _refusal(proof)}
    files = []
    if any("refused" not in of for of in told.values()):
        write_whole(folder / PLAN, plan_text(plan))
        files.append(describe(folder, PLAN))
    if "sql" in told and "refused" not in told["sql"]:
        texts = {d: sql_of(plan, contract, d, TABLE) for d in DIALECTS}
        told["sql"]["sha256"] = {dialect: text_digest(text) for dialect, text in texts.items()}
    return Forms(tuple(files), told)


_ASK = {
    "api": lambda plan, contract, rows: prove.asked(plan, rows),
    "sql": prove.asked_in_sqlite,
}


def _proven(proof: prove.Proof) -> dict[str, Any]:
    return {"difference": proof.difference, "rows": proof.rows, "hard rows": proof.hard}


def _refusal(proof: prove.Proof) -> str:
    return (
        f"on {proof.rows} test rows and {proof.hard} hard ones it differs from the model by up to "
        f"{proof.difference:.3g}, and recommends otherwise for {proof.recommends}"
    )


def _with_means(plan: Plan, contract: Contract, root: Path) -> Plan:
    """What is usual in each column of a sum: its contributions are told against that."""
    if not isinstance(plan.head, Linear):
        return plan
    table = read_rows(root / TRAIN, contract)
    rows = prove.plain_rows(table.iloc[:: max(1, len(table) // KNOWN)].head(KNOWN), contract)
    asker = Asker(plan)
    means = np.mean([asker.columns(line) for line in prove.requests_of(rows)], axis=0).tolist()
    return replace(plan, head=replace(plan.head, means=tuple(means)))
