"""The number of a version says what changed."""

import hashlib

import pytest
import yaml
from parcels import CONTRACT

from gatewright.errors import Misuse
from gatewright.pipeline.source import Source
from gatewright.registry.records import order
from gatewright.release.semver import next_version

LOCK = """
schema: '2.0'
stages:
  train:
    deps: [{path: data/raw, md5: DATA.dir}, {path: src/parcels.py, md5: CODE}]
    params: {params.yaml: {train: {C: PARAM}}}
    outs: [{path: model/model.skops, md5: 0123456789abcdef0123456789abcdef}]
"""


def source(contract: str = CONTRACT, environment: str = "lock", **changed: str) -> Source:
    lock = LOCK
    for name in ("DATA", "CODE", "PARAM"):
        value = changed.get(name, name.lower())
        digest = hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()
        lock = lock.replace(name, value if name == "PARAM" else digest)
    return Source(contract, lock, environment)


def changed_contract(column: str, **settings: object) -> str:
    content = yaml.safe_load(CONTRACT)
    content["columns"].setdefault(column, {"type": "number", "description": "New"})
    content["columns"][column] |= settings
    return yaml.safe_dump(content)


CASES = {
    "only data": (source(DATA="more"), "1.2.4", "only data changed"),
    "a parameter": (source(PARAM="9"), "1.3.0", "parameters changed"),
    "code": (source(CODE="new"), "1.3.0", "code changed"),
    "a dependency": (source(environment="newer"), "1.3.0", "the locked environment changed"),
    "a wider range": (source(changed_contract("height", max=99)), "1.3.0", "accepts more"),
    "a new optional column": (source(changed_contract("x", nullable=True)), "1.3.0", "more"),
    "a new needed column": (source(changed_contract("x")), "2.0.0", "x is new and needed"),
    "a narrower range": (source(changed_contract("height", max=1)), "2.0.0", "accepts less"),
    "another unit": (source(changed_contract("weight", unit="lb")), "2.0.0", "another type"),
}


@pytest.mark.parametrize(("new", "number", "why"), CASES.values(), ids=CASES.keys())
def test_the_number_follows_the_largest_change(new: Source, number: str, why: str) -> None:
    version, because = next_version("1.2.3", source(), new)
    assert version == number
    assert why in "; ".join(because)


def test_the_first_is_one() -> None:
    assert next_version(None, None, source()) == ("1.0.0", ["the first version"])


def test_versions_are_ordered_as_numbers() -> None:
    assert sorted(["1.10.0", "1.9.0", "1.2.11"], key=order) == ["1.2.11", "1.9.0", "1.10.0"]
    for wrong in ("1.2", "v1.2.3", "01.2.3", "latest", "1.2.3/../x"):
        with pytest.raises(Misuse, match="is no version"):
            order(wrong)
