"""Which files a project gets: exactly these, and nothing that was forgotten to be rendered."""

import json
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from conftest import TEMPLATE, Project, bake

SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}"
DATA = {f"data/raw/2013-{m:02d}.parquet" for m in range(1, 9)}
COMING = {f"data/incoming/2013-{m:02d}.parquet" for m in range(9, 13)}
TEXT = {
    *(".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", ".pre-commit-config.yaml"),
    *("LICENSE", "README.md", "contract.yaml", "dvc.yaml", "gates.yaml", "params.yaml"),
    *("pyproject.toml", "model-types.txt", "data/.gitignore", "data/README.md"),
    *("docs/github.md", "docs/model-card-words.md", "SECURITY.md"),
    *(f"docs/{n}.md" for n in ("security", "threats", "runbook")),
    *(f"security/{n}" for n in ("waivers.yaml", "secrets.yaml", "signers.txt")),
    *(f".github/ISSUE_TEMPLATE/{n}.yml" for n in ("config", "feedback", "incident", "problem")),
    *(".github/dependabot.yml", ".github/pull_request_template.md"),
    *(f".github/{n}" for n in ("CODEOWNERS", "actions/setup/action.yml")),
    *(f".github/{n}.json" for n in ("environments", "pythons")),
    *(f".github/rulesets/main-{n}.json" for n in ("checks", "review")),
    *(f".github/rulesets/{n}.json" for n in ("history", "proposals", "registry", "versions")),
    *(
        f".github/workflows/{n}.yml"
        for n in ("ci", "comment", "model-gate", "promote", "release", "train")
    ),
    *(
        f".github/workflows/{n}.yml"
        for n in ("rollback", "scorecard", "security", "settle", "watch")
    ),
}
MADE = {"uv.lock", "data/raw.dvc"}  # by the hook


def files(root: Path) -> set[str]:
    found = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    return {path for path in found if not path.startswith((".git/", ".venv/", ".dvc-storage/"))}


def machinery() -> set[str]:
    """What is copied as it stands: machinery, its tests, the pages of its checks."""
    folders = ("src/mlops", "tests/mlops", "docs/checks")
    return {
        str(path.relative_to(SOURCE))
        for folder in folders
        for path in (SOURCE / folder).rglob("*")
        if path.suffix in (".py", ".txt", ".md")
    }


def test_a_project_has_exactly_these_files(tmp_path: Path) -> None:
    root = bake(tmp_path, hooks=False)
    team = {
        *(f"src/late_flights/{n}.py" for n in ("__init__", "load", "split", "features", "train")),
        "src/late_flights/baseline.py",
        *(f"tests/test_{n}.py" for n in ("load", "split", "features", "train", "baseline")),
        "tests/conftest.py",
    }
    assert files(root) == TEXT | DATA | COMING | team | machinery()


def test_the_template_itself_holds_all_of_them() -> None:
    """The project's .gitignore files act on the template too: such files need `git add -f`."""
    listed = ["git", "ls-files", "-z", "--", SOURCE.name]
    said = subprocess.run(listed, cwd=TEMPLATE, capture_output=True, text=True, check=True).stdout
    tracked = {name.removeprefix(f"{SOURCE.name}/") for name in said.split("\0") if name}
    assert tracked >= TEXT | DATA | COMING | machinery()


def test_git_holds_all_but_the_raw_data(baked: Project) -> None:
    tracked = set(baked.git("ls-files").splitlines())
    assert tracked == (files(baked.root) & tracked)
    assert tracked >= TEXT | MADE | COMING | machinery()
    assert not tracked & DATA
    assert baked.git("status", "--porcelain") == ""


def test_every_copy_pattern_matches_a_file() -> None:
    answers = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    paths = [str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*") if p.is_file()]
    for pattern in answers["_copy_without_render"]:
        assert any(fnmatch(path, pattern) for path in paths), pattern


def test_what_holds_no_jinja_is_copied_and_only_that() -> None:
    patterns = json.loads((TEMPLATE / "cookiecutter.json").read_text())["_copy_without_render"]
    for path in SOURCE.rglob("*"):
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        name = str(path.relative_to(SOURCE))
        text = "" if path.suffix == ".parquet" else path.read_text(encoding="utf-8")
        copied = any(fnmatch(name, pattern) for pattern in patterns)
        assert copied == ("cookiecutter." not in text and "{%" not in text), name


def test_nothing_stays_unrendered(tmp_path: Path) -> None:
    for path in bake(tmp_path, hooks=False).rglob("*"):
        assert "cookiecutter" not in path.name
        if path.is_file() and path.suffix != ".parquet":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\{\{ ?cookiecutter|\{%", text), path


def test_no_file_is_empty_or_ends_ragged(tmp_path: Path) -> None:
    for path in bake(tmp_path, hooks=False).rglob("*"):
        if path.is_file() and path.suffix != ".parquet":
            text = path.read_text(encoding="utf-8")
            assert text.endswith("\n"), path
            assert not text.endswith("\n\n"), path
            assert "\n\n\n\n" not in text, path


@pytest.mark.parametrize("folder", [SOURCE, TEMPLATE / "hooks", TEMPLATE / "scripts"])
def test_no_tracked_file_names_a_package_registry(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".yaml", ".txt"):
            assert "simple/" not in path.read_text(encoding="utf-8"), path


def test_machinery_imports_point_downward() -> None:
    order = ["artefacts", "measure", "gate", "release", "security", "settings", "cli"]
    for path in (SOURCE / "src/mlops").rglob("*.py"):
        room = path.relative_to(SOURCE / "src/mlops").parts[0].removesuffix(".py")
        if room not in order:
            continue
        for imported in re.findall(r"(?:from|import) mlops\.(\w+)", path.read_text()):
            if imported in order:
                assert order.index(imported) <= order.index(room), f"{path} imports {imported}"


def test_team_and_machinery_do_not_import_each_other() -> None:
    for path in (SOURCE / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "mlops" in path.parts:
            assert "late_flights" not in text, path
        else:
            assert not re.search(r"^\s*(from|import) mlops", text, re.M), path


def test_every_threat_names_a_guard_and_tests_that_exist() -> None:
    rows = [
        line.strip("|\n").split(" | ")
        for line in (SOURCE / "docs/threats.md").read_text(encoding="utf-8").splitlines()
        if "::" in line
    ]
    assert len(rows) > 25
    for threat, guard, proof in rows:
        assert threat.strip()
        assert guard.strip()
        named = re.findall(r"`(template: |tests/mlops/)(test_\w+\.py)::(test_\w+)`", proof)
        assert len(named) == proof.count("`") / 2, proof
        for where, file, test in named:
            folder = TEMPLATE / "tests" if "template" in where else SOURCE / "tests/mlops"
            text = (folder / file).read_text(encoding="utf-8")
            assert f"\ndef {test}(" in text, f"{file}::{test}"
