"""The version that is live in an environment: what a candidate is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gatewright.adapters.dvc import Storage
from gatewright.adapters.files import text_digest
from gatewright.adapters.git import Git
from gatewright.contract.schema import Column, Contract, parse_contract
from gatewright.errors import Refused
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.source import Source
from gatewright.registry.event_log import live_versions
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import VersionRecord


@dataclass(frozen=True)
class Champion:
    """The version that is live in the environment, its files verified.

    `golden` are requests of its consumers, recorded when it was registered. `baseline` is the rule
    of thumb that came with it. `best` is a version that was live before and, by the records, better
    by more than any other; None if that is this one. `rule` is the rule of thumb of such a version,
    if by the records that was better. `veiled` are the columns that `contract` does not describe,
    and that the last version which did called personal.
    """

    version: str
    model: Path
    contract: Contract
    train: Path | None = None
    golden: list[dict[str, Any]] = field(default_factory=list)
    baseline: Path | None = None
    best: Champion | None = None
    rule: Champion | None = None
    veiled: Mapping[str, Column] = field(default_factory=dict)


def read_source(git: Git, record: VersionRecord) -> Source:
    """The texts that a version was made from. Raises Refused if its commit holds others."""
    source = Source.at(git, record.commit)
    made = text_digest(source.contract), text_digest(source.lock)
    if made != (record.contract, record.pipeline):
        raise Refused(f"Commit {record.commit} is not what {record.version} was made from.")
    return source


def fetch_champion(
    git: Git, storage: Storage, record: VersionRecord, environment: str, folder: Path
) -> Champion:
    """A version as one that a candidate is compared with, its files fetched into `folder`."""
    needed = [file for file in record.stored if file.path in (MODEL, BASELINE, TEST, TRAIN)]
    storage.fetch(needed, environment, folder)
    contract = parse_contract(read_source(git, record).contract)
    return Champion(
        record.version,
        folder / MODEL,
        contract,
        folder / TRAIN,
        list(record.golden),
        folder / BASELINE,
    )


def live_champion(
    git: Git,
    storage: Storage,
    registry: Registry | None,
    environment: str,
    folder: Path,
    metrics: Sequence[str] = (),
) -> Champion | None:
    """What is live in the environment, its model, training and test set fetched into `folder`.

    With `metrics` also the best that was live before, by these.
    """
    live = registry.live(environment) if registry else None
    if registry is None or live is None:
        return None
    record = registry.version(live.version)
    champion = fetch_champion(git, storage, record, environment, folder)
    champion = replace(champion, veiled=_veiled(git, registry, champion.contract))
    earlier = live_versions(registry.history(environment))[:-1]
    usable = [v for v in dict.fromkeys(earlier) if v != live.version and not registry.retirement(v)]
    if not (metrics and usable):
        return champion
    records = {version: registry.version(version) for version in registry.versions}

    def fetched(version: str | None, path: str, name: str) -> Champion | None:
        """A version's model or rule, if there is such a version and its file is another one."""
        if version is None or path not in (of := {f.path: f for f in records[version].stored}):
            return None
        if of[path].md5 in [f.md5 for f in record.stored if f.path == path]:
            return None
        storage.fetch([of[path]], environment, folder / name)
        contract = parse_contract(read_source(git, records[version]).contract)
        return Champion(version, folder / name / path, contract)

    best = best_before(records, live.version, usable, metrics)
    rule = best_rule_before(records, live.version, usable, metrics)
    return replace(
        champion, best=fetched(best, MODEL, "best"), rule=fetched(rule, BASELINE, "rule")
    )


def _veiled(git: Git, registry: Registry, live: Contract) -> dict[str, Column]:
    """What versions called personal last, and the live one's contract does not speak of."""
    names = [f"{commit}:contract.yaml" for commit in registry.commits]
    described: dict[str, Column] = {}
    for text in filter(None, git.blobs(names) if names else []):
        with suppress(Refused):  # of a time when contracts were written otherwise
            described |= parse_contract(text).columns
    return {n: c for n, c in described.items() if c.personal and n not in live.columns}


def best_before(
    records: Mapping[str, VersionRecord], live: str, earlier: Iterable[str], metrics: Sequence[str]
) -> str | None:
    """The earlier version that was better than the live one by most; None if none was.

    What a version gains on the first is the sum of the gains on what was live at the time, as each
    record has them, measured on the test rows of its day. Of several metrics, the one in which it
    lies farthest ahead counts, in half widths of the interval of the live version's own gain.
    """
    return _most_ahead(records, live, earlier, metrics, _total)


def best_rule_before(
    records: Mapping[str, VersionRecord], live: str, earlier: Iterable[str], metrics: Sequence[str]
) -> str | None:
    """As `best_before`, the earlier version whose rule of thumb was better than the live one's.

    A rule lies behind its version by what that gained on it.
    """

    def standing(records: Mapping[str, VersionRecord], version: str, metric: str) -> float:
        gain = _gain(records[version], metric, "baseline").get("value")
        return _total(records, version, metric) - float(gain or 0.0)

    return _most_ahead(records, live, earlier, metrics, standing)


def _most_ahead(
    records: Mapping[str, VersionRecord],
    live: str,
    earlier: Iterable[str],
    metrics: Sequence[str],
    standing: Callable[[Mapping[str, VersionRecord], str, str], float],
) -> str | None:
    lead = {
        version: max(
            (standing(records, version, m) - standing(records, live, m)) / _width(records[live], m)
            for m in metrics
        )
        for version in earlier
        if version in records
    }
    best = max(lead, key=lambda version: lead[version], default=None)
    return best if best is not None and lead[best] > 0 else None


def _total(records: Mapping[str, VersionRecord], version: str, metric: str) -> float:
    """The sum of the recorded gains that led to a version."""
    total, seen = 0.0, {version}
    while version in records:
        record = records[version]
        total += float(_gain(record, metric).get("value") or 0.0)
        version = str(record.verdict.get("champion"))
        if version in seen:
            break
        seen.add(version)
    return total


def _width(record: VersionRecord, metric: str) -> float:
    gain = _gain(record, metric)
    width = (float(gain.get("high") or 0.0) - float(gain.get("low") or 0.0)) / 2
    return width if width > 0 else 1.0


def _gain(record: VersionRecord, metric: str, over: str = "champion") -> Mapping[str, Any]:
    gain = (record.metrics.get(metric) or {}).get(f"gain over {over}")
    return gain if isinstance(gain, Mapping) else {}
