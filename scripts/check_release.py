"""Do the tag, the library, the template and the changelog name the same version?

    uv run --no-project scripts/check_release.py TAG [--notes FILE]

Writes the changelog's section of that version into FILE. Exit status: 0 yes, 1 no.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

TEMPLATE = Path(__file__).parents[1]
DUTIES = "### What a project has to do"


def section(changelog: str, version: str) -> str | None:
    """What the changelog says of a version, below its heading; None if it has no such heading."""
    parts = re.split(r"^## (.+)\n", changelog, flags=re.MULTILINE)
    told = dict(zip(parts[1::2], parts[2::2], strict=True))
    return told[version].strip() if version in told else None


def disagreements(tag: str, library: str, template: str, changelog: str) -> list[str]:
    """Why this is no release, a sentence each.

    tag: as pushed, `v1.2.3`. library: version of pyproject.toml. template: `_library_version` of
    cookiecutter.json, which every generated project asks for. changelog: its text.
    """
    reasons = []
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        reasons.append(f"{tag!r} is no tag of a version: it must be like v1.2.3.")
    if tag != f"v{library}":
        reasons.append(f"The tag is {tag}, but pyproject.toml has version {library}.")
    if template != library:
        reasons.append(
            f"pyproject.toml has version {library}, but cookiecutter.json asks for {template}: "
            "generated projects could not be locked."
        )
    told = section(changelog, library)
    if told is None:
        reasons.append(f"CHANGELOG.md has no heading '## {library}'.")
    elif not told.partition(DUTIES)[2].strip():
        reasons.append(f"CHANGELOG.md does not say below '{DUTIES}' of {library}.")
    return reasons


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tag")
    parser.add_argument("--notes", type=Path)
    arguments = parser.parse_args()
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    answers = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    changelog = (TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8")
    library = project["version"]
    reasons = disagreements(arguments.tag, library, answers["_library_version"], changelog)
    if reasons:
        print("\n".join(reasons), file=sys.stderr)
        return 1
    if arguments.notes:
        arguments.notes.write_text(f"{section(changelog, library)}\n", encoding="utf-8")
    print(f"{arguments.tag} is {project['name']} {library}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
