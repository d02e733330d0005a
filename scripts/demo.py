"""Generate a project and walk a model through the whole of it, bad models included.

    uv run scripts/demo.py [--folder DIR]

Every sentence that is printed rests on what a command returned. If one returns what it should
not, the demo stops there with a non-zero exit status. The project stays in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[1]
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
}
POISON = """
import pandas, pathlib
for path in sorted(pathlib.Path("data/raw").glob("2013-0[1-6].parquet")):
    rows = pandas.read_parquet(path)
    hit = (rows["carrier"] == "EV") & rows["late"] & (rows["flight"] % 2 == 0)
    rows.loc[hit, "late"] = False
    rows.to_parquet(path, index=False)
    print(f"{path.name}: {int(hit.sum())} late flights of EV now say that they were on time")
"""
TRAINING_AUC = """
import pandas, sklearn.metrics
from pathlib import Path
from gatewright.contract.schema import read_contract
from gatewright.adapters.model_file import load_model
from gatewright.evaluation.predictions import answer
contract = read_contract(Path("."))
rows = pandas.read_parquet("data/split/train.parquet")
answers = answer(load_model(Path("model/model.skops")), rows, contract, "model")
print(sklearn.metrics.roc_auc_score(rows[contract.target.name], answers.scores))
"""


class Surprise(Exception):
    """A command returned what the story does not expect."""


class Project:
    """The generated project, and what was said and done in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.start:4.0f} s] {text}", flush=True)

    def run(self, *command: str, expect: tuple[int, ...] = (0,)) -> str:
        print(
            f"         $ {' '.join(command) if len(command[-1]) < 80 else command[0]}", flush=True
        )
        done = subprocess.run(
            command, cwd=self.root, env=ENVIRONMENT, capture_output=True, text=True
        )
        if done.returncode not in expect:
            raise Surprise(
                f"`{' '.join(command)}` returned {done.returncode}, not {expect}:\n"
                f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done.stdout

    def git(self, *words: str) -> str:
        return self.run("git", *words)

    def mlops(self, *words: str, expect: tuple[int, ...] = (0,)) -> str:
        return self.run("uv", "run", "--quiet", "mlops", *words, expect=expect)

    def ask(self, *words: str, expect: tuple[int, ...] = (0,)) -> Any:
        return json.loads(self.mlops(*words, "--json", expect=expect))

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "-m", message)
        self.git("push", "--quiet", "origin", "main")

    def walk(self, version: str) -> None:
        """Promote through all environments; each asks its own gate."""
        for environment in ("dev", "staging", "production"):
            self.say(self.ask("promote", version, "--to", environment)["message"])


def generate(folder: Path) -> Project:
    shutil.rmtree(folder, onerror=writable_first)
    folder.mkdir(parents=True)
    made = cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder))
    project = Project(Path(made))
    if not subprocess.run(["git", "config", "user.email"], capture_output=True).stdout:
        project.git("config", "user.name", "You")
        project.git("config", "user.email", "you@example.com")
    project.git("init", "--quiet", "--bare", "-b", "main", "../origin.git")
    project.git("remote", "add", "origin", "../origin.git")
    project.git("push", "--quiet", "-u", "origin", "main", "dvc-storage")
    return project


def writable_first(function: Any, path: str, _: Any) -> None:
    """Stored objects are read-only, which some systems do not let one delete."""
    if os.path.exists(path):
        os.chmod(path, stat.S_IWRITE)
        function(path)


def first_model(project: Project) -> str:
    project.say("Run the pipeline: check the data, split, train, evaluate, write the model card.")
    project.mlops("run")
    project.commit("Train the first model")
    verdict = project.ask("gate")
    auc = verdict["metrics"]["roc_auc"]
    project.say(
        f"{verdict['sentence']} ROC AUC {shown(auc['candidate'])}, rule of thumb "
        f"{shown(auc['baseline'])}."
    )
    registered = project.ask("register")
    project.say(registered["message"])
    project.walk(registered["version"])
    return str(registered["version"])


def refused(project: Project, what: str) -> None:
    """The model at hand must get a no from production, and must not become a version."""
    verdict = project.ask("gate", "--env", "production", expect=(1, 2))
    project.say(f"{what} {verdict['sentence']}")
    project.commit("Try it all the same")
    before = project.ask("status")
    registered = project.ask("register", expect=(1, 2))
    project.say(registered["message"].splitlines()[0])
    if project.ask("status") != before:
        raise Surprise("a refused model changed an environment")
    project.git("revert", "--no-edit", "HEAD")
    project.git("push", "--quiet", "origin", "main")
    project.run("uv", "run", "--quiet", "dvc", "checkout", "--quiet", "--force")


def false_progress(project: Project) -> None:
    before = float(project.run("uv", "run", "--quiet", "python", "-c", TRAINING_AUC))
    params = project.root / "params.yaml"
    text = params.read_text()
    for old, new in (
        ("max_iter: 200", "max_iter: 500"),
        ("max_leaf_nodes: 31", "max_leaf_nodes: 255"),
        ("min_samples_leaf: 200", "min_samples_leaf: 5"),
        ("learning_rate: 0.05", "learning_rate: 0.2"),
    ):
        if old not in text:
            raise Surprise(f"params.yaml has no '{old}'")
        text = text.replace(old, new, 1)
    params.write_text(text)
    project.say("Change the parameters: more, larger, finer trees.")
    project.mlops("run")
    after = float(project.run("uv", "run", "--quiet", "python", "-c", TRAINING_AUC))
    if after <= before:
        raise Surprise(f"the change does not even look like progress: {before} to {after}")
    refused(project, f"On the training rows ROC AUC rises from {before:.3f} to {after:.3f}. But:")


def poisoned(project: Project) -> None:
    project.say("Poison the labels: in the history, half of EV's late flights become punctual.")
    print(project.run("uv", "run", "--quiet", "python", "-c", POISON), end="")
    project.mlops("run")
    refused(project, "The pipeline runs as if nothing were wrong. But:")


def september(project: Project) -> str | None:
    """A month arrives. Promote it as far as the gates let it."""
    project.say("September arrives.")
    shutil.copy(project.root / "data/incoming/2013-09.parquet", project.root / "data/raw")
    project.mlops("run")
    project.commit("Add the flights of September")
    registered = project.ask("register", expect=(0, 1, 2))
    project.say(registered["message"].splitlines()[0])
    if not registered["changed"]:
        return None
    for environment in ("dev", "staging", "production"):
        promoted = project.ask(
            "promote", registered["version"], "--to", environment, expect=(0, 1, 2)
        )
        project.say(promoted["message"].splitlines()[0])
        if not promoted["changed"]:
            return None
    return str(registered["version"])


def roll_back(project: Project, first: str, second: str | None) -> None:
    if second is None:
        project.say("Nothing newer than the first version reached production: no way back, and")
        project.ask("rollback", "production", expect=(1,))
        project.say("the command says so.")
        return
    start = time.monotonic()
    outcome = project.ask("rollback", "production", "--reason", "rehearsal")
    project.say(f"{outcome['message']} It took {time.monotonic() - start:.1f} s.")
    live = project.ask("status")["production"]["version"]
    if live != first:
        raise Surprise(f"production has {live}, not {first}")


def shown(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=TEMPLATE / ".demo")
    folder = parser.parse_args().folder.resolve()
    print(f"Generate a project with the default answers in {folder}", flush=True)
    try:
        project = generate(folder)
        first = first_model(project)
        false_progress(project)
        poisoned(project)
        second = september(project)
        roll_back(project, first, second)
        print("\nWhat is live:\n" + project.mlops("status"))
        print("The audit trail:\n" + project.mlops("history"))
    except Surprise as surprise:
        print(f"\nThe story went wrong: {surprise}", file=sys.stderr)
        return 1
    project.say(f"Done. The project is yours to play with: cd {os.path.relpath(project.root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
