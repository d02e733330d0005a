"""What a reader of a verdict must know beside the answers, whichever command asked."""

from __future__ import annotations

import numpy as np

from gatewright.adapters.model_file import load_model
from gatewright.contract.compatibility import told
from gatewright.errors import Refused
from gatewright.evaluation.bootstrap import values_of
from gatewright.evaluation.predictions import Answers, answer, in_classes, truth
from gatewright.gate.inputs import CHAMPION, GateInputs, Loaded

_SHOWN = 3  # metrics of the champion


def notes_of(inputs: GateInputs) -> tuple[str, ...]:
    """What the candidate changes of that by which it is judged."""
    notes = []
    if inputs.reference and (changes := list(told(inputs.reference, inputs.candidate_contract))):
        whose = inputs.champion.version if inputs.champion else "the base branch"
        notes.append(f"It changes the contract of {whose}: {'; '.join(changes)}")
    if isinstance(inputs.new_rows, Loaded) and (count := len(inputs.new_rows.value)):
        words = f"{count:,} test rows judge nothing until a merged change of data alone brings them"
        notes.append(words + _their_effect(inputs))
    return tuple(notes)


def _their_effect(inputs: GateInputs) -> str:
    """What the new rows would do to the figures of what is live, which did not choose them."""
    champion, new = inputs.champion, inputs.new_rows.need()
    needed = (inputs.answers, inputs.truth, inputs.metrics)
    if champion is None or not all(isinstance(each, Loaded) for each in needed):
        return ""
    try:
        before = inputs.answers.need()[CHAMPION]
        model = load_model(champion.model, inputs.model_types)
        more = answer(model, new, champion.contract, CHAMPION)
        more = in_classes(more, champion.contract, inputs.candidate_contract, CHAMPION)
        y = np.concatenate([inputs.truth.need(), truth(new, inputs.contract)])
        named = [m for m in inputs.metrics.need() if m.name in inputs.metric_names]
        metrics = [m for m in named if not m.function][:_SHOWN]
        both = Answers(
            np.concatenate([before.scores, more.scores]),
            np.concatenate([before.labels, more.labels]),
        )
        old = values_of(inputs.truth.need(), before, metrics)
        values = zip(metrics, old, values_of(y, both, metrics), strict=True)
    except Refused as refusal:
        return f"; what they do to {champion.version} cannot be told: {refusal}".rstrip(".")
    shown = ", ".join(f"{m.name} {was:.4f} -> {now:.4f}" for m, was, now in values)
    return f"; with them {champion.version} itself would have {shown}" if shown else ""
