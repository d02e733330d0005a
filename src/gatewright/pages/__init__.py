"""The pages that `mlops explain` prints: one a check, and one each of other topics."""

from pathlib import Path

from gatewright.errors import Misuse

FOLDER = Path(__file__).parent


def topics() -> list[tuple[str, str]]:
    """Each topic with the title of its page."""
    paths = [*FOLDER.glob("*.md"), *(FOLDER / "checks").glob("*.md")]
    named = [(_topic(path), path.read_text(encoding="utf-8")) for path in paths]
    return sorted((topic, text.partition("\n")[0].removeprefix("# ")) for topic, text in named)


def read_page(topic: str) -> str:
    """The page of a topic, in Markdown.

    Raises Misuse, with the topics that there are, for one that has none.
    """
    known = [name for name, _ in topics()]
    if topic not in known:
        raise Misuse(f"There is no page on '{topic}'. There are: {', '.join(known)}.")
    if topic == "checks":
        path = FOLDER / "checks/README.md"
    else:
        path = next(p for p in FOLDER.rglob("*.md") if _topic(p) == topic)
    return path.read_text(encoding="utf-8")


def _topic(path: Path) -> str:
    return path.parent.name if path.stem == "README" else path.stem
