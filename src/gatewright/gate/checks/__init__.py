"""The gate's checks, a class each, in the order in which they are asked.

To add one: write a class beside the others, put it into CHECKS, and give it a page in
pages/checks.
"""

from gatewright.gate.checks.base import Check
from gatewright.gate.checks.conduct import Behaviour, Operations
from gatewright.gate.checks.data import Data
from gatewright.gate.checks.honesty import Leakage
from gatewright.gate.checks.identity import Contract, Files, Holdout, Rows
from gatewright.gate.checks.parts import Fairness, Slices
from gatewright.gate.checks.quality import AgainstChampion, Baseline, Bounds, Cost

CHECKS: tuple[type[Check], ...] = (
    *(Files, Rows, Holdout, Contract),
    *(Bounds, Baseline, AgainstChampion, Cost),
    *(Slices, Fairness),
    *(Leakage, Data),
    *(Behaviour, Operations),
)
