"""A project, read once a command: its contract and its policy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gatewright.adapters.files import read_text
from gatewright.contract.schema import Contract, read_contract
from gatewright.errors import Misuse
from gatewright.gate.policy import NAME, Policy, PolicyFile
from gatewright.pipeline.reproduction import Reproduce


@dataclass(frozen=True)
class Project:
    """The project in `root`. Each file is read when it is first asked for, and then kept."""

    root: Path

    @cached_property
    def contract(self) -> Contract:
        return read_contract(self.root)

    @cached_property
    def environments(self) -> list[str]:
        """The environments in the order in which a version walks through them.

        Read by itself: an exception of the policy that expired must not stop a rollback.
        """
        return self._policy_file.environments

    @property
    def reproduce(self) -> Reproduce:
        """What proves that a model follows from its inputs."""
        return self._policy_file.reproduce

    @property
    def has_own_functions(self) -> bool:
        """Whether functions of the team's package judge."""
        return self._policy_file.has_own_functions

    def policy(self, environment: str) -> Policy:
        """The policy of one environment."""
        if environment not in self._policies:
            self._policies[environment] = self._policy_file.policy(environment, self.contract)
        return self._policies[environment]

    def known(self, environment: str) -> str:
        """The environment. Raises Misuse for one that the policy does not name."""
        if environment not in self.environments:
            there = ", ".join(self.environments)
            raise Misuse(f"There is no environment '{environment}'. There are: {there}.")
        return environment

    @cached_property
    def _policy_file(self) -> PolicyFile:
        return PolicyFile.parse(read_text(self.root / NAME))

    @cached_property
    def _policies(self) -> dict[str, Policy]:
        return {}
