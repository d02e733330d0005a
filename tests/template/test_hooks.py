"""What the hook leaves behind, with and without uv and a network."""

import os
import shutil
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException
from projects import Project, bake, copy_template


def test_a_project_is_ready(baked: Project) -> None:
    assert (baked.root / "uv.lock").exists()
    assert baked.git("log", "--format=%s", "main") == "Start from the Gatewright template"
    assert baked.git("rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert (baked.root / ".git/hooks/pre-commit").exists()
    stored = list((baked.root / ".dvc-storage/dev").rglob("*"))
    assert sum(path.is_file() for path in stored) == 9, "eight months and their list"
    assert baked.run("dvc", "config", "core.analytics").stdout.strip() == "false"


@pytest.mark.parametrize("missing", ["uv", "git"])
def test_without_a_tool_nothing_is_left(
    missing: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in {"uv", "git", "python3", "python"} - {missing}:
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(FailedHookException):
        bake(tmp_path / "out")
    assert f"install {missing}" in capfd.readouterr().err.replace("Git", "git")
    assert list((tmp_path / "out").iterdir()) == []


def test_where_the_library_cannot_be_built_nothing_is_left(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    template = copy_template(tmp_path / "template")
    (template / "src/gatewright/__init__.py").unlink()
    with pytest.raises(FailedHookException):
        bake(tmp_path / "out", template)
    said = capfd.readouterr().err
    assert "The library could not be built from" in said
    assert "Traceback" not in said
    assert list((tmp_path / "out").iterdir()) == []


def test_without_a_network_the_project_is_whole(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    root = bake(tmp_path / "out")
    said = capfd.readouterr().out
    assert "is whole, but the network was missing" in said
    project = Project(root, root / ".venv")
    assert project.git("log", "--format=%s") == "Start from the Gatewright template"
    assert project.git("status", "--porcelain") == ""
    assert len(list((root / "data/raw").glob("*.parquet"))) == 8

    # What it says to run later makes it ready.
    monkeypatch.delenv("UV_OFFLINE", raising=False)
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    later = said[said.index("cd late-flights") :].splitlines()[1:]
    for command in later:
        os_command = command.strip()
        project.run("sh", "-c", os_command)
    assert project.git("status", "--porcelain") == ""
    assert "data/raw.dvc" in project.git("ls-files")
    assert (root / ".dvc-storage/dev").exists()


def test_the_author_commits_where_git_knows_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    root = bake(tmp_path / "out", author_name="Zoë 'Z' O\"Neil", author_email="zoe@example.com")
    who = Project(root, root).git("log", "--format=%an <%ae>")
    assert who == "Zoë 'Z' O\"Neil <zoe@example.com>"
