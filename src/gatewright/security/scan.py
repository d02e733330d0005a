"""One scan, weighed against the file of waivers."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from gatewright.adapters.files import text_digest
from gatewright.adapters.git import Git
from gatewright.errors import Misuse, Refused
from gatewright.gate.policy import environments
from gatewright.registry.git_registry import Registry
from gatewright.security import scanners
from gatewright.security.waivers import FILE, Found, Waiver, read_waivers, settle


@dataclass(frozen=True)
class Report:
    """What is open, what waits by which waiver, and the waivers that waive nothing."""

    what: str
    unmet: list[Found]
    waits: list[tuple[Found, Waiver]]
    unused: list[Waiver]

    @property
    def status(self) -> int:
        return 1 if self.unmet or self.unused else 0

    def to_json(self) -> str:
        answer = {
            "scanned": self.what,
            "open": [asdict(found) for found in self.unmet],
            "waived": [
                asdict(found) | {"until": str(waiver.expires), "owner": waiver.owner}
                for found, waiver in self.waits
            ],
            "unused waivers": [waiver.id for waiver in self.unused],
        }
        return json.dumps(answer, indent=2, ensure_ascii=False) + "\n"

    def to_text(self) -> str:
        lines = [
            f"waits until {waiver.expires} ({waiver.owner}): {found}"
            for found, waiver in self.waits
        ]
        lines += [str(found) for found in self.unmet]
        lines += [
            f"{FILE}: the waiver of {waiver.tool} {waiver.id} waives nothing; remove it"
            for waiver in self.unused
        ]
        if self.status:
            lines.append(f"No: mend what is open, or let somebody answer for it in {FILE}.")
        else:
            lines.append(f"Clean: {self.what}.")
        return "\n".join(lines) + "\n"


def scan(root: Path, what: str, history: bool = False, live: str | None = None) -> Report:
    """Scan code, packages, secrets or workflows. Raises NotScanned where a scanner could not.

    `history` scans for secrets in everything that Git holds; `live` names the environment whose
    live version's packages are scanned. A waiver that waives nothing is told by the widest scan
    of its tool, and one for an environment by that environment's.
    """
    if (history and what != "secrets") or (live and what != "packages"):
        raise Misuse("--history is for secrets, and --live for packages.")
    tool, scanner = scanners.SCANNERS[what]
    places = environments(root)
    waivers = [waiver for waiver in read_waivers(root) if waiver.tool == tool]
    if live:
        if live not in places:
            raise Misuse(f"There is no environment '{live}'. There are: {', '.join(places)}.")
        version, found = _live(root, live)
        unmet, waits, unused = settle(found, waivers)
        mine = [waiver for waiver in unused if waiver.where == live]
        what = f"the packages of {version} in {live}" if version else f"nothing is live in {live}"
        return Report(what, unmet, waits, mine)
    found = scanners.secrets(root, history) if what == "secrets" else list(scanner(root))
    unmet, waits, unused = settle(found, waivers)
    if what == "secrets" and not history:
        unused = []  # what was removed from the files is still in the history
    unused = [waiver for waiver in unused if what != "packages" or waiver.where not in places]
    return Report(what + (" in all of the history" if history else ""), unmet, waits, unused)


def _live(root: Path, environment: str) -> tuple[str | None, list[Found]]:
    """The live version and what is known of the packages that it was made and tested with."""
    registry = Registry(root).fetch()
    live = registry.live(environment)
    if live is None:
        return None, []
    record = registry.version(live.version)
    git = Git(root)
    lock = git.show(record.commit, "uv.lock")
    if text_digest(lock) != record.environment_lock:
        raise Refused(f"The lock file of commit {record.commit} is not that of {live.version}.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "uv.lock").write_text(lock, encoding="utf-8")
        project = git.show(record.commit, "pyproject.toml")
        (folder / "pyproject.toml").write_text(project, encoding="utf-8")
        return live.version, scanners.packages(folder, environment)
