"""What vouches for a version beside the gate: its signature, and GitHub's attestation."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gatewright.adapters.github import GitHub
from gatewright.errors import Refused
from gatewright.registry.records import VersionRecord

Protection = Literal["signature", "attestation"]
WORKFLOW = ".github/workflows/release.yml"


def vouched(
    root: Path,
    demanded: Sequence[Protection],
    environment: str,
    record: VersionRecord,
    model: Path,
) -> list[Protection]:
    """What protects the version, verified now. Raises Refused if a demanded one is missing.

    The registry verifies a signature whenever it hands out a record that has one.
    """
    there: list[Protection] = ["signature"] if record.signature else []
    why = ""
    if "attestation" in demanded:
        why = not_attested(root, model)
        there += [] if why else ["attestation"]
    if lacking := [name for name in demanded if name not in there]:
        raise Refused(
            f"{record.version} has no {' and no '.join(lacking)}, and {environment} demands "
            f"it (`protection` in gates.yaml){f': {why}' if why else ''}. Register it anew in the "
            "release workflow, or let whoever owns gates.yaml decide."
        )
    return there


def not_attested(root: Path, model: Path) -> str:
    """Why GitHub does not attest that the release workflow made these bytes; empty if it does.

    https://docs.github.com/en/actions/security-for-github-actions/using-artifact-attestations
    """
    github = GitHub.of(root)
    if github is None:
        return "origin is no GitHub repository"
    words = ["gh", "attestation", "verify", str(model), "--repo", github.slug]
    words += ["--signer-workflow", f"{github.slug}/{WORKFLOW}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    except FileNotFoundError:
        return "the program gh, which verifies it, is not installed"
    except subprocess.TimeoutExpired:
        return "gh did not end within 300 seconds"
    return "" if done.returncode == 0 else (done.stderr.strip()[-300:] or "gh gave no reason")
