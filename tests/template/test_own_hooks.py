"""The template holds itself to the hooks that a project gets; `make lint` runs them."""

from __future__ import annotations

import re
from typing import Any

import yaml
from projects import TEMPLATE
from test_files import SOURCE

CONFIG = ".pre-commit-config.yaml"
# The template has no pipeline of its own, and holds the data of its example.
OF_A_PROJECT = {"data-files", "dvc-lock", "dvc-push"}
OF_THE_TEMPLATE = {"imports"}


def hooks(text: str) -> dict[str, dict[str, Any]]:
    return {hook["id"]: hook for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]}


def test_the_template_has_the_hooks_of_a_project() -> None:
    ours = hooks((TEMPLATE / CONFIG).read_text(encoding="utf-8"))
    theirs = hooks((SOURCE / CONFIG).read_text(encoding="utf-8"))
    assert ours.keys() - OF_THE_TEMPLATE == theirs.keys() - OF_A_PROJECT
    for name in ("private-files", "model-files"):
        assert ours[name] == theirs[name]


def test_nothing_but_data_and_jinja_is_left_out() -> None:
    ours = hooks((TEMPLATE / CONFIG).read_text(encoding="utf-8"))
    left_out = {name: hook["exclude"] for name, hook in ours.items() if "exclude" in hook}
    assert left_out.keys() == {"ruff-check", "ruff-format", "large-files", "yaml", "toml"}
    for pattern in left_out.values():
        assert pattern.startswith(r"^\{\{cookiecutter\.project_slug\}\}/")
        assert not re.search(pattern, "src/gatewright/cli.py")


def test_make_lint_runs_all_of_them() -> None:
    makefile = (TEMPLATE / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\nlint:")[2].partition("\n\n")[0]
    assert "pre-commit run --all-files" in recipe
    assert re.search(r"^test: .*\blint\b", makefile, re.MULTILINE)
