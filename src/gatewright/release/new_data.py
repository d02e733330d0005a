"""New rows become one pull request, trained and judged like any other.

The branch is made anew each time from what is merged, so running it again updates the pull request,
and what waited in it comes again by its source.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gatewright.adapters.console import aside
from gatewright.adapters.dvc import Storage, get_ready, run_pipeline
from gatewright.adapters.git import REMOTE, Git
from gatewright.adapters.github import Forbidden, GitHub
from gatewright.adapters.github_answers import Repository
from gatewright.adapters.markdown import cell
from gatewright.contract.schema import Contract, read_contract
from gatewright.errors import Refused
from gatewright.pipeline.data_check import public_rows
from gatewright.pipeline.ingest import Ingested, ingest
from gatewright.release.github_release import propose
from gatewright.release.trained_branch import how_checks_start

BRANCH = "data/new"
WHAT = ("data/raw.dvc", "dvc.lock", "reports")
TITLE = "New data"
_BARS = "▁▂▃▄▅▆▇█"
MOST = 20  # columns that the pull request shows, those that changed most first


def collect(root: Path) -> str:
    """Bring in what has come (sources.yaml), run the pipeline, and open or update a pull request.

    Starts from what is checked out, which must be the default branch's newest commit. Raises
    Refused where it is not, and for what `ingest` refuses.
    """
    git, github = Git(root), GitHub.of(root)
    if not git.has_remote():
        raise Refused(
            "New data is proposed as a branch of origin, and there is no origin. Run `git remote "
            "add origin URL` and push, or `uv run mlops ingest` alone."
        )
    default = github.get("", Repository).default_branch if github else "main"
    if git("rev-parse", "HEAD") != git.default_tip():
        raise Refused(
            f"New data is proposed from what is merged, and this is not the newest commit of "
            f"{default}. Run `git switch {default} && git pull`, and again."
        )
    if git("status", "--porcelain", "--untracked-files=no"):
        raise Refused("Files are changed and not committed. Commit or restore them, and run again.")
    with aside():
        get_ready(root)
    contract = read_contract(root)
    known = public_rows(root, contract)
    came = ingest(root, ())
    if not came.batches:
        return came.sentence
    with aside():
        run_pipeline(root)
        storage = Storage(root)
        with git.alone():
            storage.push()
    changes = changes_of(known, pd.concat([b.good for b in came.batches]), contract)
    here = git("branch", "--show-current")
    git("checkout", "--quiet", "-B", BRANCH)
    git("add", "--all", "--", *(path for path in WHAT if (root / path).exists()))
    git("commit", "--quiet", "--no-verify", "-m", f"{TITLE}: {came.rows:,} rows")
    git("push", "--quiet", "--force", "--no-verify", REMOTE, f"HEAD:refs/heads/{BRANCH}")
    if here:
        git("checkout", "--quiet", here)
    if github is None:
        return f"{came.sentence}\nIt is on the branch {BRANCH}: open a pull request of it."
    title, body = f"{TITLE}: {came.rows:,} rows", body_of(came, changes)
    try:
        page = propose(github, BRANCH, title, body, default)
    except Forbidden:
        page = f"{github.page}/compare/{default}...{BRANCH}?expand=1"
        return (
            f"{came.sentence}\nActions may not open pull requests here (Settings, Actions): open "
            f"it at {page}"
        )
    return f"{came.sentence}\n{page}: {how_checks_start(github, BRANCH)}"


def changes_of(known: pd.DataFrame, new: pd.DataFrame, contract: Contract) -> list[list[str]]:
    """A line a column: its name, a picture of the known and of the new rows, and what changed.

    Those that changed most come first, by the largest difference between two shares of rows.
    """
    found = []
    names = [n for n, c in contract.columns.items() if not c.personal and c.type != "datetime"]
    for name in [contract.target.name, *(n for n in names if n not in contract.key)]:
        if name not in new:
            continue
        before, after = _shares(known[name], new[name])
        away = max((abs(b - a) for b, a in zip(before, after, strict=True)), default=0.0)
        gaps = f"{known[name].isna().mean():.1%} → {new[name].isna().mean():.1%}"
        found.append((away, [name, _picture(before), _picture(after), f"{away:.1%}", gaps]))
    return [line for _, line in sorted(found, key=lambda pair: -pair[0])[:MOST]]


def _shares(known: pd.Series, new: pd.Series) -> tuple[list[float], list[float]]:
    """The shares of the rows in eight bins of the known values, or of the seven commonest."""
    if known.dtype.kind in "iuf" and known.nunique() > len(_BARS):
        edges = known.quantile([n / len(_BARS) for n in range(1, len(_BARS))]).to_numpy(dtype=float)

        def place(values: pd.Series) -> pd.Series:
            return pd.Series(edges.searchsorted(values.dropna().to_numpy(dtype=float)))

    else:
        common = {value: at for at, value in enumerate(known.value_counts().index[:7])}

        def place(values: pd.Series) -> pd.Series:
            return values.dropna().map(common).fillna(len(common)).astype(int)

    return tuple(  # type: ignore[return-value]
        [float((at == n).mean()) if len(at) else 0.0 for n in range(len(_BARS))]
        for at in (place(known), place(new))
    )


def _picture(shares: list[float]) -> str:
    most = max(shares) or 1.0
    return "".join(_BARS[round(share / most * (len(_BARS) - 1))] for share in shares)


def body_of(came: Ingested, changes: list[list[str]]) -> str:
    """What the pull request says: what came, what was refused, what is otherwise than before."""
    first, *rest = came.sentence.splitlines()
    lines = [first, ""]
    lines += [f"> {cell(line.strip())}" for line in rest[:-1]]
    lines += [
        "",
        "How the new rows differ from the known ones, in eighths of the known values (numbers) or "
        "by the commonest values; the most different first:",
        "",
        "| column | known | new | largest difference | missing |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, known, new, away, gaps in changes:
        lines.append(f"| {cell(name)} | {known} | {new} | {away} | {gaps} |")
    lines += [
        "",
        "The model is trained on all rows, and judged like any other. Rows that test judge once "
        "this is merged.",
    ]
    return "\n".join(lines) + "\n"
