"""Bills of materials of a real project keep CycloneDX's own schema."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from projects import Parcels

pytestmark = pytest.mark.slow
OFFICIAL = JsonStrictValidator(SchemaVersion.V1_6)


@pytest.mark.parametrize("words", [(), ("1.0.0",)], ids=["environment", "version"])
def test_a_bill_keeps_the_official_schema(words: tuple[str, ...], live: Parcels) -> None:
    said = live.mlops("bom", *words).stdout
    assert OFFICIAL.validate_str(said) is None
    bom = json.loads(said)
    listed = {one["name"] for one in bom["components"]}
    assert {"scikit-learn", "pandas", "dvc"} <= listed
    bom["metadata"]["component"]["type"] = "a wish"
    assert OFFICIAL.validate_str(json.dumps(bom)) is not None


def test_the_card_of_a_version_has_slices_with_intervals(live: Parcels) -> None:
    model = json.loads(live.mlops("bom", "1.0.0").stdout)["metadata"]["component"]
    figures = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    slices = [figure for figure in figures if "slice" in figure]
    named = {figure["slice"] for figure in slices}
    assert len(named) == 2
    assert all(any(shop in name for name in named) for shop in ("north", "south"))
    for figure in slices:
        limits = figure["confidenceInterval"]
        assert float(limits["lowerBound"]) < float(figure["value"]) < float(limits["upperBound"])
    assert len(model["modelCard"]["considerations"]["technicalLimitations"]) > 3
