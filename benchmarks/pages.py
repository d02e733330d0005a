"""With what figures were made, and where they go on the library's pages."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

PAGES = Path(__file__).parents[1] / "src/gatewright/pages"


def made_with() -> str:
    packages = (f"{name} {version(name)}" for name in ("gatewright", "scikit-learn"))
    return f"{', '.join(packages)}, {platform.machine()}"


def put(page: str, name: str, text: str) -> None:
    """Replace what stands between the marks of this name on a page."""
    path = PAGES / page
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, started, rest = path.read_text(encoding="utf-8").partition(start)
    _, ended, after = rest.partition(end)
    if not (started and ended):
        raise SystemExit(f"{path} has no place for {name}: write {start.strip()} and {end} there.")
    path.write_text(f"{before}{start}\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
