"""Check `champion`: is it at least not worse than the live version?"""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.evaluation.bootstrap import Estimate, Measured
from gatewright.evaluation.intervals import below, holm
from gatewright.gate.checks.base import Check, Finding, Status, shown
from gatewright.gate.checks.limits import (
    Margins,
    margin_of,
)
from gatewright.gate.inputs import CANDIDATE, CHAMPION
from gatewright.registry.champion import Champion


class ChampionCheck(Check):
    """Is the model better than the one it would replace, or at least not worse than the margin?

    On the same rows and resamples: *better* if the interval of the gain lies above zero, *not
    worse* if it lies above -margin, *worse* if it is proven to lie below zero, else it *cannot be
    told*. Of several metrics, `worse` is said with Holm's correction.
    """

    id = "champion"
    Settings = Margins

    @staticmethod
    def check(
        settings: Margins, measured: Measured, champion: Champion | None
    ) -> Iterator[Finding]:
        if champion is None:
            yield Finding("pass", "nothing is live here yet; bounds and baseline still apply")
            return
        gains = {name: measured.gain(name, CANDIDATE, CHAMPION) for name in settings.metrics}
        errors = [measured.error(name, CANDIDATE, CHAMPION) for name in gains]
        # One metric alone is judged by its own interval; several share the two tails.
        alpha = (1 - measured.confidence) / 2 * min(len(gains), 2)
        chances = [below(g.value, 0, e) for g, e in zip(gains.values(), errors, strict=True)]
        worse = dict(zip(gains, holm(chances, alpha), strict=True))
        for name, wanted in settings.metrics.items():
            gain = gains[name]
            margin = margin_of(wanted, measured.estimate(name, CHAMPION).value)
            status, words = compare(gain, margin, worse[name])
            message = f"{words} {champion.version}: gain {shown(gain)}, margin {margin:g}"
            if status == "unsure":
                least = measured.smallest(name, CANDIDATE, CHAMPION)
                message += f"; these rows would show a difference of {least:.4f}"
            yield Finding(status, message, name, gain, -margin)


def compare(gain: Estimate, margin: float, worse: bool) -> tuple[Status, str]:
    """The four answers of a non-inferiority comparison; NaN is never an improvement."""
    if gain.low > 0:
        return "pass", "better than"
    if gain.low >= -margin:
        return "pass", "not worse than"
    if worse and gain.high < 0:
        return "refuse", "worse than"
    if gain.high >= gain.low:
        return "unsure", "cannot be told from"
    return "refuse", "not comparable with"
