"""Files that are not as they should be: one sentence, and never a traceback.

Each node of a valid file is replaced by each of some values that somebody could write there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
import yaml
from parcels import CONTRACT, DVC, GATES

from gatewright.contract.schema import parse_contract
from gatewright.errors import Misuse, Refused
from gatewright.gate.policy import parse_policies
from gatewright.pipeline.dvc_lock import locked_stages, parse_lock
from gatewright.pipeline.pipeline_file import parse_pipeline, parse_tracked

LOCK = """\
schema: '2.0'
stages:
  split:
    cmd: mlops stage parcels
    deps:
    - {path: contract.yaml, hash: md5, md5: 0123456789abcdef0123456789abcdef, size: 9}
    - {path: data/raw, hash: md5, md5: 0123456789abcdef0123456789abcdef.dir, size: 9, nfiles: 2}
    params:
      params.yaml: {train.seed: 0}
    outs:
    - {path: data/split/train.parquet, hash: md5, md5: 0123456789abcdef0123456789abcdef, size: 9}
"""
TRACKED = """\
outs:
- {path: raw, hash: md5, md5: 0123456789abcdef0123456789abcdef.dir, size: 9, nfiles: 2}
"""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**30, 0.5, 1e308, float("inf"), float("nan")),
    *("", "text", "1:30", "../..", "a\x1b[1m", "\x00", "é" * 300, date(2026, 1, 1)),
    *([], [None], ["text"], [[1]], {}, {"text": None}, {1: 2}, {"a": {"b": {"c": []}}}),
)


def mutated(value: Any) -> Iterator[Any]:
    """The value with each of its nodes replaced in turn, and each key taken away."""
    yield from VALUES
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            yield {(f"{key}?" if k == key else k): v for k, v in value.items()}
            for other in mutated(value[key]):
                yield value | {key: other}
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield value[:at] + value[at + 1 :]
            yield [*value, item]
            for other in mutated(item):
                yield [*value[:at], other, *value[at + 1 :]]


def policies(text: str) -> object:
    return parse_policies(text, contract=parse_contract(CONTRACT))


READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "dvc.lock": (LOCK, parse_lock),
    "dvc.lock, whole": (LOCK, locked_stages),
    "dvc.yaml": (DVC, parse_pipeline),
    "raw.dvc": (TRACKED, lambda text: parse_tracked(text, "raw.dvc")),
    "contract.yaml": (CONTRACT, parse_contract),
    "gates.yaml": (GATES, policies),
}


@pytest.mark.parametrize(("valid", "read"), READERS.values(), ids=READERS.keys())
def test_whatever_is_written_there_is_read_or_refused(
    valid: str, read: Callable[[str], object]
) -> None:
    read(valid)
    refused = 0
    for value in mutated(yaml.safe_load(valid)):
        text = yaml.dump(copy.deepcopy(value), allow_unicode=True)
        try:
            read(text)
        except (Refused, Misuse):
            refused += 1
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{text}")
    assert refused > 200


WRONG = {
    "no stages": ("stages:\n  split:", "stages: {}\nother:\n  split:"),
    "a stage of nothing": ("    cmd: mlops", "  train:\n  test:\n    cmd: mlops"),
    "a path that is none": ("path: contract.yaml", "path: [contract.yaml]"),
    "no digest": (", md5: 0123456789abcdef0123456789abcdef, size: 9}", "}"),
    "a digest that leads elsewhere": ("md5: 0123456789abcdef", "md5: ../../../../../etc/p"),
}


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG.keys())
def test_a_lock_that_dvc_did_not_write_is_refused_with_what_mends_it(old: str, new: str) -> None:
    assert old in LOCK
    with pytest.raises(Refused, match=r"dvc\.lock.*`uv run mlops run`"):
        parse_lock(LOCK.replace(old, new, 1))
