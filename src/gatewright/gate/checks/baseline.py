"""Check `baseline`: is it better than the rule that a person would use?"""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan

from gatewright.evaluation.bootstrap import Measured
from gatewright.gate.checks.base import Check, Finding, shown
from gatewright.gate.checks.limits import (
    Bound,
    Margins,
    margin_of,
)
from gatewright.gate.inputs import BASELINE, CANDIDATE, EARLIER_BASELINE, LIVE_BASELINE


class BaselineCheck(Check):
    """Is the model better than the rule that a person would use, by at least the margin?

    Of the candidate's rule, the live version's and the best that was live before, the better one:
    else a candidate could weaken its own, or one after the other.
    """

    id = "baseline"
    Settings = Margins

    @staticmethod
    def check(settings: Margins, measured: Measured) -> Iterator[Finding]:
        for name, wanted in settings.metrics.items():
            known = (BASELINE, LIVE_BASELINE, EARLIER_BASELINE)
            rules = [rule for rule in known if rule in measured.models]
            gains = {rule: measured.gain(name, CANDIDATE, rule) for rule in rules}
            # What is no number comes first, so that it decides.
            rule = min(rules, key=lambda of: (not isnan(gains[of].value), gains[of].value))
            gain, margin = gains[rule], margin_of(wanted, measured.estimate(name, rule).value)
            message = f"gain {shown(gain)}, all of it to be at least {margin:g}"
            if rule == LIVE_BASELINE:
                message += ", on the live version's rule, which is the better one"
            elif rule == EARLIER_BASELINE:
                message += (
                    ", on the rule of a version that was live before, which is the better one"
                )
            yield Finding(Bound(min=margin).state(gain), message, name, gain, margin)
