"""What a text of a table says: a number, a date, a yes or no, or that nothing is known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Nothing is known, in a column of texts; among numbers and dates more words say so.
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "null", "?"})
MISSING_NUMBER = MISSING | {"-", "--", ".", "none", "unknown", "missing", "not available", "nil"}
TRUTHS = (
    ("yes", "no"),
    ("true", "false"),
    ("y", "n"),
    ("t", "f"),
    ("ja", "nein"),
    ("oui", "non"),
    ("sí", "no"),
    ("si", "no"),
    ("on", "off"),
    ("1", "0"),
)
_SIGNS = re.compile(
    r"^(?:(?P<before>[$€£¥]|[A-Z]{3}) ?)?(?P<number>[-+\d].*?)(?: ?(?P<after>%|[€£¥$]))?$"
)
_CODE = re.compile(r"[+-]?0\d+")  # a number that begins with 0 is a code


@dataclass(frozen=True)
class NumberStyle:
    """How numbers are written: the sign before decimals, the one between thousands, a unit."""

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    def fits(self, text: str) -> bool:
        """Whether a text is a number of this style. Groups of thousands must have three digits."""
        return bool(re.fullmatch(_pattern(self.decimal, self.thousands), self._bare(text)))

    def plain(self, text: str) -> str:
        """The number as Python writes it."""
        text = self._bare(text)
        if self.thousands:
            text = text.replace(self.thousands, "")
        return text.replace(self.decimal, ".")

    def numbers(self, texts: pd.Series) -> pd.Series:
        """The numbers that texts of this style are, NaN for what is none; as `fits` and `plain`."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.unit:  # seldom, and of few different texts
            found = [float(self.plain(text)) if self.fits(text) else None for text in texts]
            return pd.Series(found, dtype=float)
        cells = pa.array(texts, pa.large_string())
        written = rf"\A({_pattern(self.decimal, self.thousands)})\z"
        fits = pc.match_substring_regex(cells, written)
        plain = pc.utf8_ltrim(pc.if_else(fits, cells, None), "+")
        if self.thousands:
            plain = pc.replace_substring(plain, self.thousands, "")
        if self.decimal != ".":
            plain = pc.replace_substring(plain, self.decimal, ".")
        return pd.Series(plain.cast(pa.float64()).to_numpy(zero_copy_only=False))

    def _bare(self, text: str) -> str:
        if not self.unit:
            return text
        found = _SIGNS.match(text)
        return found["number"].strip() if found and self.unit in found.groups() else text


@cache
def _pattern(decimal: str, thousands: str) -> str:
    """What a number looks like, for Python's `re` and for Arrow's RE2: digits of ASCII."""
    mark, point = re.escape(thousands), re.escape(decimal)
    if thousands:
        return rf"[+-]?([0-9]{{1,3}}({mark}[0-9]{{3}})*|[0-9]+)({point}[0-9]+)?"
    return rf"[+-]?([0-9]+{point}?[0-9]*|{point}[0-9]+)([eE][+-]?[0-9]+)?"


STYLES = (
    NumberStyle(),
    NumberStyle(","),
    NumberStyle(".", ","),
    NumberStyle(",", "."),
    NumberStyle(",", " "),
    NumberStyle(".", " "),
    NumberStyle(".", "'"),
)


def number_style(texts: list[str]) -> NumberStyle | None:
    """The first style in which all of these texts are numbers; None if there is none."""
    if not texts or any(_CODE.fullmatch(text) for text in texts):
        return None
    unit = _unit(texts)
    for style in STYLES:
        known = NumberStyle(style.decimal, style.thousands, unit)
        if all(map(known.fits, texts)):
            # 1,234 could be a number with three decimals; where all are so, it is thousands.
            if style == NumberStyle(",") and all(
                re.search(r"^\D?\d{1,3},\d{3}$", t) for t in texts
            ):
                continue
            return known
    return None


def _unit(texts: list[str]) -> str:
    """The currency or the per cent sign that all of the texts have."""
    units = set()
    for text in texts:
        found = _SIGNS.match(text)
        units.add((found["before"] or found["after"] or "") if found else "")
        if len(units) > 1:
            return ""
    return units.pop() if units else ""


# Dates

ISO = "ISO 8601"
_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?"
)
_DAYS = (
    *("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y"),
    *("%B %d, %Y", "%Y.%m.%d"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
# A day or a month first: which of two formats is meant, if every date fits both.
SWAPPED = {"%d/%m/%Y": "%m/%d/%Y", "%d-%m-%Y": "%m-%d-%Y", "%d/%m/%y": "%m/%d/%y"}


def date_formats(texts: list[str]) -> Iterator[str]:
    """The formats in which all of these texts are dates; two where day and month are in doubt."""
    if not texts or not all(any(map(str.isdigit, text)) for text in texts[:50]):
        return
    if all(map(_ISO.fullmatch, texts)):
        yield ISO
        return
    for time in _TIMES:
        for day in _DAYS:
            written = day + time
            if _reads(texts[:20], written) and _reads(texts, written):
                yield written


def _reads(texts: list[str], written: str) -> bool:
    import pandas as pd

    try:
        return bool(pd.to_datetime(pd.Series(texts), format=written, errors="coerce").notna().all())
    except (ValueError, OverflowError):
        return False


def as_dates(texts: pd.Series, written: str) -> pd.Series:
    """The moments that texts name, without a zone: those that name one are moved to UTC.

    What is no date of this format is missing.
    """
    import pandas as pd

    if written != ISO:
        return pd.to_datetime(texts, format=written, errors="coerce")
    moments = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    return moments.dt.tz_localize(None)


def truths(texts: list[str]) -> tuple[str, str] | None:
    """The texts that say yes and no, if these are two such."""
    by = {text.casefold(): text for text in texts}
    for yes, no in TRUTHS:
        if len(texts) == 2 and set(by) == {yes, no}:
            return by[yes], by[no]
    return None
