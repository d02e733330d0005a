"""Refuse answers that would give a broken project, before it is written."""

import json
import keyword
import os
import re
import sys
import unicodedata
from importlib.util import find_spec
from pathlib import Path

# Jinja puts the answers here, as JSON in which every quote is escaped, so none can be code.
ANSWERS = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip

# What a project installs or holds itself; on this machine it may not be there to be found.
TAKEN = {
    "bandit", "charset_normalizer", "cryptography", "data", "docs", "duckdb", "dvc", "filelock",
    "gatewright", "joblib", "matplotlib", "model", "mypy", "numpy", "pandas", "pandera",
    "pre_commit", "pyarrow", "pydantic", "pytest", "python_calamine", "reports", "rich", "ruff",
    "scipy", "security", "sklearn", "skops", "sqlalchemy", "src", "test", "tests", "threadpoolctl",
    "vendor", "yaml",
}  # fmt: skip


def wrong_slug(slug: str) -> "str | None":
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug) or len(slug) > 64:
        return (
            f"project_slug {slug!r} is no good name for a folder and a repository: use at most 64 "
            "lower-case letters and digits in words joined by single hyphens, starting with a "
            "letter, like 'late-flights'."
        )
    return None


def wrong_package(name: str) -> "str | None":
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return (
            f"package_name {name!r} cannot be imported: use lower-case letters, digits and "
            "underscores, starting with a letter, like 'late_flights'."
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return f"package_name {name!r} is a word of Python: choose another, like '{name}_model'."
    if name in TAKEN or name in sys.stdlib_module_names or found(name):
        return (
            f"package_name {name!r} would shadow a module of that name: choose another, like "
            f"'{name}_model'."
        )
    return None


def found(name: str) -> bool:
    """Whether a module of that name is installed; the folder of this script does not count."""
    sys.path, path = sys.path[1:], sys.path
    try:
        return find_spec(name) is not None
    finally:
        sys.path = path


def wrong_text(name: str, text: str) -> "str | None":
    if not text.strip():
        return f"{name} is empty: write a few words."
    if text != text.strip() or len(text) > 200:
        return f"{name} must have at most 200 characters, and no space before or after."
    for character in text:
        # Controls would break files; bidirectional controls show something else than is there.
        joiner = character in "\u200c\u200d"
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not joiner:
            return f"{name} holds the invisible character U+{ord(character):04X}: leave it out."
    return None


def wrong_email(email: str) -> "str | None":
    if not re.fullmatch(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", email):
        return f"author_email {email!r} is no e-mail address: write one like 'ada@example.com'."
    return None


def wrong_owner(owner: str) -> "str | None":
    if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}", owner):
        return (
            f"github_owner {owner!r} is no name of a GitHub user or organisation: use letters, "
            "digits and single hyphens, like 'octo-org'."
        )
    return None


def wrong_reviewer(role: str, reviewer: str) -> "str | None":
    login, team = r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}", r"[a-z0-9][a-z0-9_-]{0,99}"
    if not re.fullmatch(f"@{login}(/{team})?", reviewer):
        return (
            f"{role} {reviewer!r} is nobody whom GitHub could ask for a review: write a user like "
            "'@ada' or a team like '@octo-org/data'."
        )
    return None


def wrong_table(place: str, target: str) -> "str | None":
    if bool(place.strip()) != bool(target.strip()):
        given, missing = ("target", "data_file") if target.strip() else ("data_file", "target")
        return (
            f"{given} is given and {missing} is not: name both, the table and the column that is "
            "to be predicted, or neither, to keep the example."
        )
    if place.strip() and "://" not in place and find_file(place) is None:
        return f"data_file {place!r} is not there: give its path from where you are, or the whole."
    return None


def find_file(typed: str) -> "Path | None":
    """The file that was typed, seen from where cookiecutter was called."""
    output = Path(ANSWERS.get("_output_dir", "."))
    for base in (Path(os.environ.get("PWD", ".")), output, *output.parents):
        if (base / Path(typed).expanduser()).is_file():
            return base / Path(typed).expanduser()
    return None


def bare_organisation(role: str, reviewer: str) -> "str | None":
    """GitHub assigns nobody for a bare organisation, and tells of no error."""
    owner = ANSWERS["github_owner"]
    if ANSWERS["owner_kind"] == "organisation" and reviewer.lower() == f"@{owner}".lower():
        return (
            f"{role} {reviewer!r} is an organisation, and GitHub asks an organisation for no "
            f"review, without an error: write a team of it like '{reviewer}/"
            f"{role.removesuffix('_owners')}', or a user like '@ada'."
        )
    return None


def main() -> None:
    reasons = [wrong_table(ANSWERS["data_file"], ANSWERS["target"])]
    reasons += [
        wrong_text(key, ANSWERS[key]) for key in ("project_name", "description", "author_name")
    ]
    reasons += [
        wrong_slug(ANSWERS["project_slug"]),
        wrong_package(ANSWERS["package_name"]),
        wrong_email(ANSWERS["author_email"]),
        wrong_owner(ANSWERS["github_owner"]),
    ]
    if reasons[-1] is None:  # else the owners that follow from it are wrong for the same reason
        roles = {key: ANSWERS[key] for key in ANSWERS if key.endswith("_owners")}
        reasons += [wrong_reviewer(*role) or bare_organisation(*role) for role in roles.items()]
    if said := [reason for reason in reasons if reason]:
        sys.exit("\n".join(said))


main()
