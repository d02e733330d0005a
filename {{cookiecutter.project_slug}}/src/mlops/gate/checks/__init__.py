"""The gate's checks, a class each, in the order in which they are asked.

To add one: write a class beside the others, put it into CHECKS, and give it a page in
docs/checks.
"""

from mlops.gate.checks.check import Check
from mlops.gate.checks.identity import Files, Holdout, Rows
from mlops.gate.checks.quality import AgainstChampion, Baseline, Bounds

CHECKS: tuple[type[Check], ...] = (Files, Rows, Holdout, Bounds, Baseline, AgainstChampion)
