"""Of which type a column is, by all of its values, and by what evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gatewright.sources.recipe import ColumnRecipe, coded, is_text
from gatewright.sources.texts import (
    MISSING,
    MISSING_NUMBER,
    SWAPPED,
    NumberStyle,
    date_formats,
    number_style,
    truths,
)

if TYPE_CHECKING:
    import pyarrow as pa

LONG = 40  # characters; texts of more on average are prose
_YEARS = (1900, 2100)


@dataclass(frozen=True)
class TypeGuess:
    """How a column is read, or why it is left out. matters: a person should look at it."""

    how: ColumnRecipe | None
    evidence: str
    matters: bool = False


def guess_type(values: pa.ChunkedArray, source: str) -> TypeGuess:
    """The type of one column of a source."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if values.null_count == len(values):
        return TypeGuess(None, "no row has a value")
    if is_text(kind):
        return _guess_text(values, source)
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return TypeGuess(None, f"holds {kind}, which no model computes with")
    if pa.types.is_boolean(kind):
        return _typed(values, ColumnRecipe(source=source, type="boolean"), "true and false")
    if pa.types.is_temporal(kind):
        if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            return TypeGuess(None, f"holds {kind}: write it as a number")
        zone = f", moved from {kind.tz} to UTC" if pa.types.is_timestamp(kind) and kind.tz else ""
        return _typed(
            values, ColumnRecipe(source=source, type="datetime"), f"dates{zone}", bool(zone)
        )
    numbers = values.cast(pa.float64()).to_numpy()
    numbers = numbers[np.isfinite(numbers)]
    return _guess_number(values, source, numbers, pa.types.is_integer(kind))


def _typed(
    values: pa.ChunkedArray, how: ColumnRecipe, evidence: str, matters: bool = False
) -> TypeGuess:
    import pyarrow.compute as pc

    if pc.count_distinct(values).as_py() < 2 and not values.null_count:
        return TypeGuess(None, f"all rows say {values[0].as_py()}")
    return TypeGuess(how, evidence, matters)


def _guess_number(
    values: pa.ChunkedArray, source: str, numbers: np.ndarray, whole: bool
) -> TypeGuess:
    if not len(numbers):
        return TypeGuess(None, "no row has a value")
    if len(numbers) == len(values) and numbers.min() == numbers.max():
        return TypeGuess(None, f"all rows say {numbers[0]:g}")
    if len(numbers) == len(values) and set(np.unique(numbers)) == {0, 1}:
        return TypeGuess(ColumnRecipe(source=source, type="boolean"), "0 and 1")
    if whole or (len(numbers) and bool((numbers == np.floor(numbers)).all())):
        return TypeGuess(ColumnRecipe(source=source, type="integer"), "whole numbers")
    return TypeGuess(ColumnRecipe(source=source, type="number"), "numbers")


def _guess_text(values: pa.ChunkedArray, source: str) -> TypeGuess:
    codes, uniques = coded(values)
    texts = uniques.str.strip()
    known = texts[~texts.str.casefold().isin(MISSING)]
    distinct = list(dict.fromkeys(known))
    if not distinct:
        return TypeGuess(None, "no row has a value")
    gaps = bool((codes < 0).any() or len(known) < len(texts))
    if len(distinct) == 1 and not gaps:
        return TypeGuess(None, f"all rows say '{distinct[0][:40]}'")
    if pair := truths(distinct):
        how = ColumnRecipe(source=source, type="boolean", yes=(pair[0],), no=(pair[1],))
        return TypeGuess(how, f"'{pair[0]}' and '{pair[1]}'")
    told = [text for text in distinct if text.casefold() not in MISSING_NUMBER]
    if style := number_style(told):
        return _number_of_text(told, style, source)
    formats = list(date_formats(told))
    if formats:
        how = ColumnRecipe(source=source, type="datetime", format=formats[0])
        other = SWAPPED.get(formats[0])
        doubt = other in formats
        words = f"dates like {told[0]}"
        if doubt:
            words += f", read as {formats[0]}; every one would fit {other} too"
        return TypeGuess(how, words, doubt)
    how = ColumnRecipe(source=source, type="string")
    return TypeGuess(how, f"{len(distinct):,} different texts")


def _number_of_text(texts: list[str], style: NumberStyle, source: str) -> TypeGuess:
    numbers = [float(style.plain(text)) for text in texts]
    written = {
        key: value for key, value in vars(style).items() if value != getattr(NumberStyle(), key)
    }
    points = any(style.decimal in text for text in texts)
    if not written and set(numbers) == {0, 1}:
        yes = tuple(text for text, number in zip(texts, numbers, strict=True) if number)
        no = tuple(text for text in texts if text not in yes)
        how = ColumnRecipe(source=source, type="boolean", yes=yes, no=no)
        return TypeGuess(how, "0 and 1")
    whole = all(number == int(number) and abs(number) < 2**53 for number in numbers)
    dates = [str(int(n)) for n in numbers] if whole and not written else []
    if dates and all(len(text) == 8 and _is_day(text) for text in dates):
        how = ColumnRecipe(source=source, type="datetime", format="%Y%m%d")
        return TypeGuess(how, f"dates like {dates[0]}", True)
    how = ColumnRecipe(
        source=source, type="integer" if whole and not points else "number", **written
    )
    words = f"numbers like {texts[0]}" if written else "whole numbers" if whole else "numbers"
    doubt = bool(style.thousands) and all(style.decimal not in text for text in texts)
    return TypeGuess(how, words + (", read as thousands" if doubt else ""), doubt)


def _is_day(text: str) -> bool:
    year, month, day = int(text[:4]), int(text[4:6]), int(text[6:])
    return _YEARS[0] <= year <= _YEARS[1] and 1 <= month <= 12 and 1 <= day <= 31
