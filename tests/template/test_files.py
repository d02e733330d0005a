"""Which files a project gets: exactly these, and nothing that was forgotten to be rendered."""

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from projects import TEMPLATE, Project, bake

SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}"
LIBRARY = TEMPLATE / "src/gatewright"
VERSION = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]["version"]
DATA = {f"data/raw/2013-{m:02d}.parquet" for m in range(1, 9)}
COMING = {f"data/incoming/2013-{m:02d}.parquet" for m in range(9, 13)}
TEXT = {
    *(".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitattributes", ".gitignore"),
    ".pre-commit-config.yaml",
    *("LICENSE", "README.md", "contract.yaml", "dvc.yaml", "gates.yaml", "params.yaml"),
    *("pyproject.toml", "model-types.txt", "data/.gitignore", "data/README.md"),
    *("docs/runbook.md", "docs/model-card-words.md", "SECURITY.md"),
    *(f"security/{n}" for n in ("waivers.yaml", "secrets.yaml", "signers.txt")),
    *(f".github/ISSUE_TEMPLATE/{n}.yml" for n in ("config", "feedback", "incident", "problem")),
    *(".github/dependabot.yml", ".github/pull_request_template.md"),
    *(f".github/{n}" for n in ("CODEOWNERS", "actions/setup/action.yml")),
    ".github/environments.json",
    *(f".github/rulesets/main-{n}.json" for n in ("checks", "review")),
    *(f".github/rulesets/{n}.json" for n in ("history", "proposals", "registry", "versions")),
    *(
        f".github/workflows/{n}.yml"
        for n in ("ci", "comment", "ingest", "model-gate", "promote", "release", "train")
    ),
    *(
        f".github/workflows/{n}.yml"
        for n in ("retire", "rollback", "scorecard", "security", "settle", "watch")
    ),
}
MADE = {"uv.lock", "data/raw.dvc", f"vendor/gatewright-{VERSION}-py3-none-any.whl"}  # by the hook
TEAM = {
    *(f"src/late_flights/{n}.py" for n in ("__init__", "load", "split", "features", "train")),
    "src/late_flights/baseline.py",
    *(f"tests/test_{n}.py" for n in ("load", "split", "features", "train", "baseline")),
    "tests/conftest.py",
    "notebooks/look.ipynb",
}


def files(root: Path) -> set[str]:
    found = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    return {path for path in found if not path.startswith((".git/", ".venv/", ".dvc-storage/"))}


def test_a_project_has_exactly_these_files(tmp_path: Path) -> None:
    root = bake(tmp_path, hooks=False)
    assert files(root) == TEXT | DATA | COMING | TEAM


def test_the_template_itself_holds_all_of_them() -> None:
    """The project's .gitignore files act on the template too: such files need `git add -f`."""
    listed = ["git", "ls-files", "-z", "--", SOURCE.name]
    said = subprocess.run(listed, cwd=TEMPLATE, capture_output=True, text=True, check=True).stdout
    tracked = {name.removeprefix(f"{SOURCE.name}/") for name in said.split("\0") if name}
    assert tracked >= TEXT | DATA | COMING


def test_git_holds_no_data(baked: Project) -> None:
    tracked = set(baked.git("ls-files").splitlines())
    assert tracked == TEXT | TEAM | MADE
    assert len(tracked) < 70
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


def test_the_project_asks_for_the_library_that_lies_here() -> None:
    answers = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    assert answers["_library_version"] == VERSION


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


@pytest.mark.parametrize("folder", ["hooks", "scripts", "src", "docs", SOURCE.name])
def test_no_tracked_file_names_a_package_registry(folder: str) -> None:
    for path in (TEMPLATE / folder).rglob("*"):
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".yaml", ".txt"):
            assert "simple/" not in path.read_text(encoding="utf-8"), path


def test_no_model_of_the_example_runs_in_threads() -> None:
    """A forest's answers vary in the last digit then, and so does what is built again from them."""
    settings = yaml.safe_load((SOURCE / "params.yaml").read_text(encoding="utf-8"))["train"]
    models = [settings[name] for name in ("gradient_boosting", "random_forest", "linear")]
    assert all("n_jobs" not in values for values in models)


def test_imports_of_the_library_point_downward() -> None:
    """As [tool.importlinter] in pyproject.toml says."""
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([tool, "--no-cache"], cwd=TEMPLATE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_team_s_code_does_not_import_the_library() -> None:
    """They meet in files, so either can change without the other."""
    for path in (SOURCE / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) gatewright", text, re.M), path


def test_every_threat_names_a_guard_and_tests_that_exist() -> None:
    rows = [
        line.strip("|\n").split(" | ")
        for line in (LIBRARY / "pages/threats.md").read_text(encoding="utf-8").splitlines()
        if "::" in line
    ]
    assert len(rows) > 25
    for threat, guard, proof in rows:
        assert threat.strip()
        assert guard.strip()
        named = re.findall(r"`(tests/\w+/test_\w+\.py)::(test_\w+)`", proof)
        assert len(named) == proof.count("`") / 2, proof
        for file, test in named:
            text = (TEMPLATE / file).read_text(encoding="utf-8")
            assert f"\ndef {test}(" in text, f"{file}::{test}"


# Words of the example. It may speak where its own files are, and once in the README.
EXAMPLE = re.compile(
    r"flight|carrier|airline|airport|aircraft|\bplanes?\b|passenger|punctual|departure"
    r"|arriv\w+ late|too late|\bdelays?\b|new york|newark|kennedy|laguardia|\b(EWR|JFK|LGA)\b"
    r"|january|february|september|october|november|december|2013",
    re.IGNORECASE,
)
ITS_OWN = ("data/", "src/churn/", "tests/", "contract.yaml", "gates.yaml", "params.yaml")
ITS_WORDS = "docs/model-card-words.md"


def test_nothing_else_knows_of_the_example(tmp_path: Path) -> None:
    """A team with another table must find only its own files to replace."""
    root = bake(
        tmp_path,
        hooks=False,
        project_name="Churn",
        package_name="churn",
        description="Will they stay?",
    )
    project = {
        name: (root / name).read_text(encoding="utf-8")
        for name in files(root)
        if not name.startswith(ITS_OWN) and name != ITS_WORDS
    }
    readme = project["README.md"]
    (told,) = re.findall(
        r"^The example that stands here .+?<!-- end of what stands here -->\n",
        readme,
        re.MULTILINE | re.DOTALL,
    )
    project["README.md"] = readme.replace(told, "")
    library = {
        str(path.relative_to(LIBRARY)): path.read_text(encoding="utf-8")
        for path in LIBRARY.rglob("*")
        if path.suffix in (".py", ".md", ".txt", ".json", ".yaml", ".html")
    }
    assert len(project) > 30
    assert len(library) > 60
    found = {
        (name, hit[0])
        for name, text in (project | library).items()
        for hit in EXAMPLE.finditer(text)
    }
    assert found == set()
