"""The command line: where it works, and what it answers to wrong words."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from parcels import Project

from gatewright.adapters.console import Sanitised, print_table
from gatewright.cli import main


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


HOSTILE = "\x1b[2J\x1b]0;mine\x07\r\u202e\n::set-output name=live::true\n  ::error::x ##[error]y"


def test_what_is_printed_is_words(released: Project) -> None:
    """A record that would clear a terminal, and set an output of a workflow's step."""
    path = "environments/dev.yaml"

    def change(tree: Path) -> None:
        record = yaml.safe_load((tree / path).read_text())
        record |= {"version": "1.0.1", "previous": "1.0.0", "reason": HOSTILE}
        (tree / path).write_text(yaml.safe_dump(record))

    released.change_branch("registry", change)
    told = released.mlops("history")
    stray = released.mlops("history", "--at", HOSTILE, expect=64)
    for text in (told.out, stray.err):
        assert r"\x1b[2J\x1b]0;mine\x07\x0d\x202e" in text
        assert not re.search(r"^\s*::|##\[|[\x1b\x07\r\u202e]", text, re.MULTILINE)
        assert ": :set-output name=live::true" in text
    (*_, last) = released.mlops("history", "--json").json
    assert last["reason"] == HOSTILE, "for machines it is as it was"


def test_a_table_is_wrapped_for_eyes_only_and_takes_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "word " * 100
    print_table([("a", long.strip()), ("[red]b", "\x1b[31mc")])
    print_table([("1", "2")], ("one", "two"))
    assert capsys.readouterr().out.splitlines() == [
        f"a       {long.strip()}",
        r"[red]b  \x1b[31mc",
        "one  two",
        "---  ---",
        "1    2",
    ]


def test_on_a_narrow_terminal_cells_are_wrapped_in_their_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("COLUMNS", "30")
    print_table([("first", "[b]one two three four five six"), ("second", "seven")])
    lines = shown.getvalue().splitlines()
    assert [line[:8].strip() for line in lines] == ["first", "", "second"]
    assert max(map(len, lines)) <= 30
    assert lines[0].rstrip() == "first   [b]one two three four"


def test_colours_stay_and_lines_are_told_apart() -> None:
    shown = io.StringIO()
    stream = Sanitised(shown)
    for part in ("\x1b[1;31mred\x1b[0m ", "::no command\n", " ", "::one\n", "a::b"):
        stream.write(part)
    assert shown.getvalue() == "\x1b[1;31mred\x1b[0m ::no command\n : :one\na::b"
    assert stream.getvalue() == shown.getvalue()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['mlops', '--help']\n"
        "from gatewright.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'sklearn', 'dvc', 'pydantic', 'rich', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert "promote" in done.stdout


def test_python_m_gatewright_is_mlops(released: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gatewright", "status"],
        cwd=released.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "production" in done.stdout
