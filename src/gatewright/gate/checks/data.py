"""Check `data`: what did it learn from?"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from gatewright.contract.schema import Strict
from gatewright.evaluation.bootstrap import Estimate
from gatewright.evaluation.label_noise import LabelDoubt
from gatewright.evaluation.training_diff import TrainingDiff
from gatewright.evaluation.unseen_values import UnseenValues
from gatewright.gate.checks.base import Check, Finding, Status


class DataCheck(Check):
    """What does the candidate's training data change, and does it look tampered with?

    Rows are counted. Labels are doubted by confident learning (Northcutt, Jiang and Chuang 2021),
    those of all touched rows and, with Holm's correction, of each label and slice. Where rows are
    too few to tell, that passes only if no excess shows and if at the interval's far end it would
    still be within the bound as a share of all training rows; of a label or slice, if none shows.
    """

    id = "data"
    compares = True

    class Settings(Strict):
        max_gone: float = Field(default=0.01, ge=0, le=1)
        max_vanished: float = Field(default=0.05, ge=0, le=1)
        max_relabelled: float = Field(default=0.002, ge=0, le=1)
        max_altered: float = Field(default=0.01, ge=0, le=1)
        max_balance_shift: float = Field(default=0.15, ge=0, le=1)
        max_mean_shift: float = Field(default=0.5, ge=0)
        max_duplicates: float = Field(default=0.005, ge=0, le=1)
        max_new_categories: float = Field(default=0.02, ge=0, le=1)
        max_out_of_range: float = Field(default=0.15, ge=0, le=1)
        max_disagreement: float = Field(default=0.03, ge=0, le=1)

    @staticmethod
    def check(settings: Settings, change: TrainingDiff | None) -> Iterator[Finding]:
        if change is None or change.before is None:
            words = "nothing is live here yet, so there is no training data to compare with"
            if change is not None and change.doubtful_labels is not None:
                words += (
                    f"; by cross-validation {change.doubtful_labels:.1%} of the labels are doubtful"
                )
            yield Finding("pass", words)
            return
        yield from _rows(settings, change)
        yield from _vanished(settings, change)
        yield from _late(change)
        yield from _columns(settings, change)
        yield from _balance(settings, change)
        yield from _labels(settings, change)


def _rows(settings: DataCheck.Settings, change: TrainingDiff) -> Iterator[Finding]:
    before = change.before or 0
    for subject, count, most, words in (
        ("rows gone", change.gone, settings.max_gone, "are gone"),
        ("rows relabelled", change.relabelled, settings.max_relabelled, "have another label"),
        ("rows altered", change.altered, settings.max_altered, "have other inputs"),
    ):
        share = count / max(before, 1)
        said = f"{count:,} of the champion's {before:,} rows {words}: {share:.2%}"
        yield _counted(share, most, said, subject)
    said = f"{change.duplicates:,} of {change.new:,} new rows repeat another row under their own "
    said += f"key: {change.odd_duplicates:.2%} beyond what is usual and chance"
    yield _counted(change.odd_duplicates, settings.max_duplicates, said, "duplicates")


def _vanished(settings: DataCheck.Settings, change: TrainingDiff) -> Iterator[Finding]:
    """Rows of one label that are gone from a part of the rows, and those of its others are not."""
    most, told = settings.max_vanished, None
    for part in change.vanished:
        said = (
            f"{part.gone:,} of the champion's {part.rows:,} such rows are gone, "
            f"{part.excess:.1%} beyond what is gone of other labels there"
        )
        if part.proven and part.excess > most:
            said = f"{said}, to be at most {most:.2%}: they look picked by their label"
            yield Finding("refuse", said, f"rows gone, {part.name}", bound=most)
        elif told is None:
            told = Finding("pass", f"the most in {part.name}: {said}", "rows gone, by part")
    if told is not None:
        yield told


def _late(change: TrainingDiff) -> Iterator[Finding]:
    """A shop may have closed, so it is told and stops nothing."""
    for part in change.late:
        said = (
            f"hardly any rows since {part.since}: {part.came:,} came, and about "
            f"{part.expected:,.0f} were to be expected. Does it exist no more, or are they late?"
        )
        yield Finding("warn", said, f"late rows, {part.name}")


def _columns(settings: DataCheck.Settings, change: TrainingDiff) -> Iterator[Finding]:
    lost = [f"without {name}" for name in change.columns_gone]
    more = [f"with {name}" for name in change.columns_new]
    if lost or more:
        yield Finding("pass", f"the rows come {', '.join(lost + more)}", "columns")
    for subject, found, most, words in (
        ("new categories", change.new_categories, settings.max_new_categories, "{} new values"),
        ("ranges", change.out_of_range, settings.max_out_of_range, "outside of the range before"),
    ):
        shares = {about.column: about.rows / max(change.touched, 1) for about in found}
        shown = sorted(found, key=lambda about: -about.rows)
        beyond = [about for about in shown if not shares[about.column] <= most]
        if not found:
            yield Finding("pass", "none", subject, bound=most)
        elif not beyond:
            yield Finding("pass", _listed(shown[:3], shares, words), subject, bound=most)
        for about in beyond:
            said = f"{_listed([about], shares, words)}, to be at most {most:.2%}"
            yield Finding("refuse", said, subject, bound=most)


def _listed(found: list[UnseenValues], shares: dict[str, float], words: str) -> str:
    return "; ".join(
        f"{about.column}: {about.rows:,} touched rows, {shares[about.column]:.2%}, "
        + words.format(f"{about.values:,}")
        for about in found
    )


def _balance(settings: DataCheck.Settings, change: TrainingDiff) -> Iterator[Finding]:
    shift, subject = change.balance, "balance"
    most = settings.max_mean_shift if change.is_number else settings.max_balance_shift
    if shift is None:
        yield Finding("pass", "there are no new rows to move it", subject, bound=most)
        return
    unit = " standard deviations" if change.is_number else ""
    what = "the mean" if change.is_number else "the share of the event, or of the class most moved,"
    said = f"among {change.new:,} new rows {what} differs by {_signed(shift)}{unit}"
    nearest = 0.0 if shift.low <= 0 <= shift.high else min(abs(shift.low), abs(shift.high))
    farthest = max(abs(shift.low), abs(shift.high))
    apart = Estimate(abs(shift.value), nearest, farthest)
    weight = change.new / max(change.rows, 1)  # of so few rows it hardly moves the whole
    yield _estimated(apart, most, said, subject, small=farthest * weight <= most / 10)


def _labels(settings: DataCheck.Settings, change: TrainingDiff) -> Iterator[Finding]:
    most, subject = settings.max_disagreement, "labels"
    weight = change.touched / max(change.rows, 1)
    if not change.touched:
        yield Finding("pass", "no row is new, relabelled or altered", subject, bound=most)
    elif change.disagreement is None:
        said = f"whether labels disagree cannot be told: {change.unmeasured}"
        if weight <= most:
            said += f"; but the touched rows are only {weight:.2%} of the training rows"
        yield Finding("pass" if weight <= most else "unsure", said, subject, bound=most)
    else:
        whole = change.disagreement
        within = whole.excess.low <= 0 and whole.excess.high * weight <= most
        small = weight <= most or within
        yield _estimated(whole.excess, most, _doubted(whole), subject, small=small)
    worst = None
    for part in change.parts:
        if part.excess.low > most:
            said = f"{_doubted(part)}, all of it to be at most {most:g}"
            yield Finding("refuse", said, f"labels, {part.name}", part.excess, most)
        elif part.excess.low > 0 and part.excess.high > most and weight > most:
            said = f"{_doubted(part)}; whether that is at most {most:g} cannot be told"
            yield Finding("unsure", said, f"labels, {part.name}", part.excess, most)
        elif worst is None or part.excess.value > worst.excess.value:
            worst = part
    if worst is not None:
        said = f"in no other label or slice more; the most in {worst.name}: {_doubted(worst)}"
        yield Finding("pass", said, "labels, by part", worst.excess, most)


def _doubted(part: LabelDoubt) -> str:
    return (
        f"{part.share:.1%} of {part.rows:,} touched rows look mislabelled, and of the champion's "
        f"{part.usual:.1%}; beyond what is usual {_signed(part.excess)}"
    )


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _counted(share: float, most: float, said: str, subject: str) -> Finding:
    status: Status = "pass" if share <= most else "refuse"
    return Finding(status, f"{said}, to be at most {most:.2%}", subject, bound=most)


def _estimated(estimate: Estimate, most: float, said: str, subject: str, *, small: bool) -> Finding:
    """Proven within, proven beyond, or neither; that passes if it is small in the whole."""
    status: Status = "unsure"
    if estimate.high <= most:
        status = "pass"
    elif estimate.low > most:
        status = "refuse"
    elif small:
        status, said = "pass", f"{said} (too few rows to tell, and to matter in the whole)"
    return Finding(status, f"{said}, all of it to be at most {most:g}", subject, estimate, most)
