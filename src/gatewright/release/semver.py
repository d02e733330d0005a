"""Version numbers follow the contract (semantic versioning 2.0.0 for a model)."""

from __future__ import annotations

from collections.abc import Collection

from gatewright.contract.compatibility import compare
from gatewright.contract.schema import parse_contract
from gatewright.pipeline.dvc_lock import parse_lock
from gatewright.pipeline.source import Source


def next_version(
    newest: str | None, old: Source | None, new: Source, used: Collection[str] = ()
) -> tuple[str, list[str]]:
    """The number of a new version, and why.

    Major when a consumer would break, minor when code, parameters or the environment changed,
    patch when only data did. A number that is `used`, if only by a record that somebody slipped in
    and another removed, or by a tag that somebody set, is passed by.
    """
    number, why = _next(newest, old, new)
    while ".".join(map(str, number)) in used:
        number = (*number[:2], number[2] + 1)
    return ".".join(map(str, number)), why


def _next(
    newest: str | None, old: Source | None, new: Source
) -> tuple[tuple[int, int, int], list[str]]:
    if newest is None or old is None:
        return (1, 0, 0), ["the first version"]
    major, minor, patch = map(int, newest.split("."))
    change, why = compare(parse_contract(old.contract), parse_contract(new.contract))
    if change == "breaking":
        return (major + 1, 0, 0), why
    before, after = parse_lock(old.lock), parse_lock(new.lock)
    if before.params != after.params:
        why.append("parameters changed")
    if any(path.startswith("src/") for path, _ in before.deps.items() ^ after.deps.items()):
        why.append("code changed")
    if old.environment != new.environment:
        why.append("the locked environment changed")
    if why:
        return (major, minor + 1, 0), why
    return (major, minor, patch + 1), ["only data changed"]
