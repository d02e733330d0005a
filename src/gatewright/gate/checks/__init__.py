"""The gate's checks, a class each, in the order in which they are asked.

To add one: write a module with a class beside the others, put it into CHECKS, and give it a page in
pages/checks.
"""

from gatewright.gate.checks.base import Check
from gatewright.gate.checks.baseline import BaselineCheck
from gatewright.gate.checks.behaviour import BehaviourCheck
from gatewright.gate.checks.bounds import BoundsCheck
from gatewright.gate.checks.champion import ChampionCheck
from gatewright.gate.checks.contract import ContractCheck
from gatewright.gate.checks.cost import CostCheck
from gatewright.gate.checks.data import DataCheck
from gatewright.gate.checks.fairness import FairnessCheck
from gatewright.gate.checks.files import FilesCheck
from gatewright.gate.checks.holdout import HoldoutCheck
from gatewright.gate.checks.leakage import LeakageCheck
from gatewright.gate.checks.operations import OperationsCheck
from gatewright.gate.checks.rows import RowsCheck
from gatewright.gate.checks.slices import SlicesCheck

CHECKS: tuple[type[Check], ...] = (
    FilesCheck,
    RowsCheck,
    HoldoutCheck,
    ContractCheck,
    BoundsCheck,
    BaselineCheck,
    ChampionCheck,
    CostCheck,
    SlicesCheck,
    FairnessCheck,
    LeakageCheck,
    DataCheck,
    BehaviourCheck,
    OperationsCheck,
)
