"""Check `baseline`: is it better than the rule that a person would use?"""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.evaluation.bootstrap import Measured
from gatewright.gate.checks.base import Check, Finding, shown
from gatewright.gate.checks.limits import (
    Bound,
    Margins,
    margin_of,
)
from gatewright.gate.inputs import CANDIDATE, RULE


class BaselineCheck(Check):
    """Is the model better than the rule that a person would use, by at least the margin?"""

    id = "baseline"
    Settings = Margins

    @staticmethod
    def check(settings: Margins, measured: Measured) -> Iterator[Finding]:
        for name, wanted in settings.metrics.items():
            gain = measured.gain(name, CANDIDATE, RULE)
            margin = margin_of(wanted, measured.estimate(name, RULE).value)
            message = f"gain {shown(gain)}, all of it to be at least {margin:g}"
            yield Finding(Bound(min=margin).state(gain), message, name, gain, margin)
