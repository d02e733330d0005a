"""Stage `split`: which rows train the model and which only ever test it.

A row's side follows from the row alone, so no row changes side as data grows: by its time where
the contract names a time column, else by a hash of its group (all rows of one customer stand on one
side) or of its key.
"""

import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from .load import RAW, read_params, read_raw, read_yaml

FOLDER = Path("data/split")


def read_settings() -> dict[str, Any]:
    """`split` of params.yaml, if it says what can be done; else the stage ends in a sentence."""
    settings = read_params("split", {"holdout", "share"})
    windows, share = settings["holdout"], settings["share"]
    if type(share) not in (int, float) or not 0 < share < 1:
        raise SystemExit("params.yaml: `split.share` must be a number between 0 and 1.")
    if not isinstance(windows, list) or not all(map(is_window, windows)):
        raise SystemExit(
            "params.yaml: `split.holdout` must be a list of windows like "
            '{from: "2013-07-01", until: "2013-09-01"}, with `from` before `until`.'
        )
    return settings


def is_window(window: Any) -> bool:
    """Whether it has two times without a zone, written as text, one before the other."""
    if not isinstance(window, dict) or set(window) != {"from", "until"}:
        return False
    if not all(isinstance(text, str) for text in window.values()):
        return False
    try:
        start, end = pd.Timestamp(window["from"]), pd.Timestamp(window["until"])
    except ValueError:
        return False
    return bool(start.tz is None and end.tz is None and start < end)


def is_holdout(rows: pd.DataFrame, contract: dict[str, Any], settings: dict[str, Any]) -> pd.Series:
    """True for the rows that only test."""
    if time := contract.get("time"):
        return in_windows(rows[time], settings["holdout"])
    group = contract.get("group")
    together = [group] if group in contract["columns"] else contract["key"]
    return by_key(rows[together], settings["share"])


def in_windows(times: pd.Series, windows: list[dict[str, str]]) -> pd.Series:
    """True where a time lies in one of the windows; `until` is the first moment after it."""
    inside = pd.Series(False, index=times.index)
    for window in windows:
        inside |= times.between(
            pd.Timestamp(window["from"]), pd.Timestamp(window["until"]), inclusive="left"
        )
    return inside


def by_key(keys: pd.DataFrame, share: float) -> pd.Series:
    """True for about `share` of the keys, by CRC-32 (ISO 3309), which no release changes."""
    text = keys.astype(str).agg("|".join, axis=1)
    return text.map(lambda key: zlib.crc32(key.encode()) / 2**32 < share)


def main() -> None:
    contract = read_yaml("contract.yaml")
    rows = read_raw(RAW, contract)
    held_out = is_holdout(rows, contract, read_settings())
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", rows[~held_out]), ("test", rows[held_out])):
        if part.empty:
            raise SystemExit(f"The {name} set is empty. Change `split` in params.yaml.")
        part.to_parquet(FOLDER / f"{name}.parquet", index=False, compression="zstd")
        print(f"{name}: {len(part):,} rows")


if __name__ == "__main__":
    main()
