"""The gate's checks, a class each, in the order in which they are asked.

To add one: write a class beside the others, put it into CHECKS, and give it a page in
docs/checks.
"""

from mlops.gate.checks.check import Check
from mlops.gate.checks.conduct import Behaviour, Operations
from mlops.gate.checks.data import Data
from mlops.gate.checks.honesty import Leakage
from mlops.gate.checks.identity import Contract, Files, Holdout, Rows
from mlops.gate.checks.parts import Fairness, Slices
from mlops.gate.checks.quality import AgainstChampion, Baseline, Bounds, Cost

CHECKS: tuple[type[Check], ...] = (
    *(Files, Rows, Holdout, Contract),
    *(Bounds, Baseline, AgainstChampion, Cost),
    *(Slices, Fairness),
    *(Leakage, Data),
    *(Behaviour, Operations),
)
