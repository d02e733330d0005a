"""The command line: where it works, and what it answers to wrong words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from parcels import Project

from mlops.cli import main


def test_it_works_from_any_folder_of_the_project(released: Project) -> None:
    below = Project(released.root / "data/split")
    assert below.live()["production"] == "1.0.0"


def test_outside_a_project_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 64
    assert "is not inside a project" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["dance"], [], ["promote", "1.0.0"], ["retire", "1.0.0"]])
def test_wrong_words_are_status_64(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 64
    assert "usage: mlops" in capsys.readouterr().err


def test_a_refusal_is_json_where_json_was_asked_for(released: Project) -> None:
    said = released.mlops("promote", "9.9.9", "--to", "dev", "--json", expect=1)
    assert json.loads(said.out)["status"] == 1
    assert "There is no version 9.9.9" in json.loads(said.out)["error"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['mlops', '--help']\n"
        "from mlops.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'sklearn', 'dvc', 'pydantic', 'rich', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert "promote" in done.stdout


def test_python_m_mlops_is_mlops(released: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlops", "status"], cwd=released.root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "production" in done.stdout
