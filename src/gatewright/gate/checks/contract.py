"""Check `contract`: do rows, answers and consumers' requests keep the contract?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import pandas as pd

from gatewright.adapters.model_file import Model
from gatewright.contract.compatibility import asks_else, compare, unveiled
from gatewright.contract.schema import Contract, Strict
from gatewright.contract.validation import violations
from gatewright.evaluation.predictions import Answers, answer, request_rows
from gatewright.gate.checks.base import Check, Finding
from gatewright.gate.inputs import CANDIDATE
from gatewright.registry.champion import Champion


class ContractCheck(Check):
    """Do rows and answers keep the contract, and do its consumers still get theirs?

    Consumers' requests are the golden rows that were recorded when the champion was registered.
    """

    id = "contract"
    runs_model = True
    compares = True

    class Settings(Strict):
        may_break: bool = True
        holes: Literal["refuse", "allow"] = "refuse"

    @staticmethod
    def check(
        settings: Settings,
        candidate_contract: Contract,
        reference: Contract | None,
        rows: pd.DataFrame,
        answers: Mapping[str, Answers],
        candidate: Model,
        champion: Champion | None,
        version: str | None,
        holes: tuple[str, ...],
    ) -> Iterator[Finding]:
        contract = candidate_contract
        if holes:
            shown = "; ".join(holes[:3]) + (f" and {len(holes) - 3} more" if len(holes) > 3 else "")
            words = f"{len(holes)} places wait for words that only a person can write: {shown}"
            yield Finding("refuse" if settings.holes == "refuse" else "warn", words, "words")
        veiled = champion.veiled if champion else {}
        for name in unveiled(reference, contract, veiled) if reference else ():
            words = (
                "is personal in the contract that judges, and would be so no longer; an exception "
                "of gates.yaml for this check and subject lets it, for a time"
            )
            yield Finding("refuse", words, f"personal {name}")
        if reference and asks_else(reference, contract):
            words = (
                f"{contract.target.name} ({contract.target.type}) would be predicted, and not "
                f"{reference.target.name} ({reference.target.type}): no figure could be compared "
                "with one before. An exception of gates.yaml for this check and subject lets it, "
                "for a time"
            )
            yield Finding("refuse", words, "target")
        public = {n: c for n, c in contract.columns.items() if not c.personal}
        shape = contract.model_copy(update={"columns": public})
        wrong = violations(shape, rows[[n for n in (*public, contract.target.name) if n in rows]])
        for fault in wrong.to_dict("records"):
            words = f"{fault['fault']} in {fault['rows']:,} test rows"
            yield Finding("refuse", words, str(fault["column"]))
        low, high = contract.prediction.min, contract.prediction.max
        if wrong.empty:
            said = (
                f"{len(answers[CANDIDATE].labels):,} rows keep it; answers lie in {low:g}..{high:g}"
            )
            yield Finding("pass", said)
        if champion is None:
            return
        change, why = compare(champion.contract, contract)
        if change == "breaking":
            yield _breaking(settings, champion, version, why)
            return
        if not champion.golden:
            yield Finding("refuse", f"{champion.version} has no golden rows to try", "consumers")
            return
        requests = request_rows([pair["request"] for pair in champion.golden], contract)
        answer(candidate, requests, contract, CANDIDATE)  # raises if one is not answered
        words = f"{len(requests)} requests recorded with {champion.version} are answered"
        yield Finding("pass", words, "consumers")


def _breaking(
    settings: ContractCheck.Settings, champion: Champion, version: str | None, why: list[str]
) -> Finding:
    said = f"it breaks what consumers of {champion.version} rely on: {'; '.join(why)}"
    if not settings.may_break:
        return Finding("refuse", f"{said}; contract.may_break forbids it", "version")
    if version is None:
        return Finding("pass", f"{said}; the next version is a major one", "version")
    major, before = (int(number.partition(".")[0]) for number in (version, champion.version))
    if major > before:
        return Finding("pass", f"{said}; {version} says so", "version")
    return Finding("refuse", f"{said}, and {version} does not say so", "version")
