"""Bills of materials. That they keep CycloneDX's own schema is tested with the template."""

from __future__ import annotations

from typing import Any

import pytest
from parcels import Project

LOCK = """
version = 1
[[package]]
name = "parcels"
version = "0.1.0"
source = { editable = "." }
dependencies = [{ name = "pandas" }]
[package.dev-dependencies]
dev = [{ name = "pytest" }]
[[package]]
name = "pandas"
version = "3.0.0"
source = { registry = "mirror" }
dependencies = [{ name = "numpy" }]
[[package]]
name = "numpy"
version = "2.3.0"
source = { registry = "mirror" }
[[package]]
name = "pytest"
version = "9.0.0"
source = { registry = "mirror" }
"""
WORDS = """# The model

## What it is for

To pack
better.

## Limits

- Heavy parcels
  are rare.
- Two shops.
"""


@pytest.fixture
def locked(trained: Project) -> Project:
    (trained.root / "uv.lock").write_text(LOCK)
    (trained.root / "docs").mkdir(exist_ok=True)
    (trained.root / "docs/model-card-words.md").write_text(WORDS)
    trained.commit("Lock")
    trained.git("push", "--quiet", "--no-verify")
    return trained


def by_name(bom: Any) -> dict[str, Any]:
    return {one["name"]: one for one in bom["components"]}


def test_the_environment_is_listed_with_what_only_development_needs(locked: Project) -> None:
    said = locked.mlops("bom")
    listed = by_name(said.json)
    assert {name: one["scope"] for name, one in listed.items()} == {
        "numpy": "required",
        "pandas": "required",
        "pytest": "excluded",
    }
    assert listed["pandas"]["purl"] == "pkg:pypi/pandas@3.0.0"
    needs = {entry["ref"]: entry["dependsOn"] for entry in said.json["dependencies"]}
    assert needs["project"] == ["pkg:pypi/pandas@3.0.0"]
    assert needs["pkg:pypi/pandas@3.0.0"] == ["pkg:pypi/numpy@2.3.0"]


def test_a_version_has_a_card_its_data_and_its_packages(locked: Project) -> None:
    locked.mlops("register")
    record = locked.record("1.0.0")
    (locked.root / "uv.lock").write_text(LOCK.replace("3.0.0", "3.9.9"))
    bom = locked.mlops("bom", "1.0.0").json
    model = bom["metadata"]["component"]
    assert (model["type"], model["version"]) == ("machine-learning-model", "1.0.0")
    digests = {f["path"]: f["sha256"] for f in record["files"]}
    assert model["hashes"] == [{"alg": "SHA-256", "content": digests["model/model.skops"]}]
    listed = by_name(bom)
    test = next(path for path in digests if path.endswith("test.parquet"))
    assert listed[test]["hashes"] == [{"alg": "SHA-256", "content": digests[test]}]
    assert listed["pandas"]["version"] == "3.0.0", "of the version's commit"
    card = model["modelCard"]
    assert card["considerations"] == {
        "useCases": ["To pack better."],
        "technicalLimitations": ["Heavy parcels are rare.", "Two shops."],
    }
    assert {"ref": test} in card["modelParameters"]["datasets"]
    assert not any("email" in one["format"] for one in card["modelParameters"]["inputs"])
    figures = card["quantitativeAnalysis"]["performanceMetrics"]
    whole = next(f for f in figures if f["type"] == "roc_auc" and "slice" not in f)
    wanted = record["metrics"]["roc_auc"]["candidate"]
    assert float(whole["value"]) == pytest.approx(wanted["value"], rel=1e-4)
    limits = whole["confidenceInterval"]
    assert float(limits["lowerBound"]) < float(whole["value"]) < float(limits["upperBound"])
    assert {f["slice"] for f in figures if "slice" in f} == {"shop=north", "shop=south"}


def test_the_same_gives_the_same_bytes(locked: Project) -> None:
    locked.mlops("register")
    colleague = locked.clone()
    for words in (("bom",), ("bom", "1.0.0")):
        assert locked.mlops(*words).out == colleague.mlops(*words).out
    assert locked.mlops("bom").out != locked.mlops("bom", "1.0.0").out


@pytest.mark.parametrize("text", ["", "[[package", "version = 1\n"])
def test_without_a_lock_nothing_is_listed(text: str, locked: Project) -> None:
    (locked.root / "uv.lock").write_text(text)
    assert "uv.lock is no lock file" in locked.mlops("bom", expect=1).err


def test_a_version_that_is_none_has_no_bill(locked: Project) -> None:
    locked.mlops("register")
    assert "There is no version 9.0.0" in locked.mlops("bom", "9.0.0", expect=1).err
