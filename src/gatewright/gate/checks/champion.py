"""Check `champion`: is it at least not worse than the live version?"""

from __future__ import annotations

from collections.abc import Iterator

from gatewright.evaluation.bootstrap import Estimate, Measured
from gatewright.evaluation.intervals import below, holm, reach
from gatewright.gate.checks.base import Check, Finding, Status, shown
from gatewright.gate.checks.limits import (
    Margins,
    margin_of,
)
from gatewright.gate.inputs import BEST, CANDIDATE, CHAMPION
from gatewright.pipeline.holdout_history import Asked
from gatewright.registry.champion import Champion


class ChampionCheck(Check):
    """Is the model better than the one it would replace, or at least not worse than the margin?

    On the same rows and resamples: *better* if the interval of the gain lies above zero, *not
    worse* if it lies above -margin, *worse* if it is proven to lie below zero, else it *cannot be
    told*. Of several metrics, `worse` is said with Holm's correction. So that small losses do not
    pile up, the same is asked about the best version that was live here, if it is another one.
    """

    id = "champion"
    compares = True
    Settings = Margins

    @staticmethod
    def check(
        settings: Margins, measured: Measured, champion: Champion | None, asked: Asked
    ) -> Iterator[Finding]:
        if champion is None:
            yield Finding("pass", "nothing is live here yet; bounds and baseline still apply")
            return
        often = 1 + len(asked.passed) + len(asked.failed)
        yield from _against(settings, measured, (CHAMPION, champion.version), often)
        if best := champion.best:
            if BEST in measured.models:
                yield from _against(settings, measured, (BEST, best.version), often, "best")
            else:
                words = f"{best.version}, once live, was better by its record; it needs columns "
                yield Finding("pass", f"{words}that these rows lack, so it is not asked", "best")


def _against(
    settings: Margins, measured: Measured, than: tuple[str, str], often: int, prefix: str = ""
) -> Iterator[Finding]:
    other, version = than
    sure = reach(measured.confidence, often) / measured.reach
    gains = {name: measured.gain(name, CANDIDATE, other) for name in settings.metrics}
    errors = [measured.error(name, CANDIDATE, other) for name in gains]
    # One metric alone is judged by its own interval; several share the two tails.
    alpha = (1 - measured.confidence) / 2 * min(len(gains), 2)
    chances = [below(g.value, 0, e) for g, e in zip(gains.values(), errors, strict=True)]
    worse = dict(zip(gains, holm(chances, alpha), strict=True))
    for name, wanted in settings.metrics.items():
        gain = gains[name]
        margin = margin_of(wanted, measured.estimate(name, other).value)
        status, words = compare(gain, margin, worse[name], sure)
        message = f"{words} {version}: gain {shown(gain)}, margin {margin:g}"
        if status == "unsure":
            least = measured.smallest(name, CANDIDATE, other)
            message += f"; these rows would show a difference of {least:.4f}"
        yield Finding(status, message, f"{prefix} {name}".strip(), gain, -margin)


def compare(gain: Estimate, margin: float, worse: bool, sure: float = 1) -> tuple[Status, str]:
    """The four answers of a non-inferiority comparison; NaN is never an improvement.

    Of many that were asked, one looks better by luck: that is only said of an interval `sure`
    times as wide.
    """
    if gain.low > 0 and gain.value - sure * (gain.value - gain.low) > 0:
        return "pass", "better than"
    if gain.low >= -margin:
        return "pass", "not worse than"
    if worse and gain.high < 0:
        return "refuse", "worse than"
    if gain.high >= gain.low:
        return "unsure", "cannot be told from"
    return "refuse", "not comparable with"
