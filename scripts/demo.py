"""Generate a project and walk a model through the whole of it, bad models included.

    uv run scripts/demo.py [--folder DIR] [--check | --record]

Every sentence that is printed rests on what a command returned. If one returns what it should
not, the demo stops there with a non-zero exit status. The project stays in the folder.

--record writes what was told into README.md, and the commands' own words into docs/demo.md.
--check fails if those tell another story: other sentences, commands or decisions. Figures may
differ, versions may not.
"""

from __future__ import annotations

import argparse
import difflib
import http.client
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[1]
README = TEMPLATE / "README.md"
RECORD = TEMPLATE / "docs/demo.md"
MARKS = ("<!-- demo -->\n", "<!-- end of demo -->\n")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
} | {
    "COLUMNS": "110",
    "NO_COLOR": "1",
    **{f"GIT_{role}_NAME": "You" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "you@example.com" for role in ("AUTHOR", "COMMITTER")},
}
ENVIRONMENTS = ("dev", "staging", "production")
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
import sys
import pandas, sklearn.metrics, yaml
from pathlib import Path
from gatewright.adapters.model_file import allowed_types, load_model
target = yaml.safe_load(Path("contract.yaml").read_text())["target"]["name"]
rows = pandas.read_parquet("data/split/train.parquet")
for path in sys.argv[1:]:
    scores = load_model(Path(path), allowed_types()).predict_proba(rows)[:, 1]
    print(sklearn.metrics.roc_auc_score(rows[target], scores))
"""

QUESTION = """
import pandas
from pathlib import Path
from gatewright.contract.schema import read_contract
rows = pandas.read_parquet("data/split/test.parquet")
late = rows[rows["precipitation"] > 0.1][read_contract(Path()).features].head(1)
print(late.to_json(orient="records", lines=True))
"""
IN_SQL = """
import json, sqlite3, sys
row = json.loads(sys.argv[1])
key = dict.fromkeys(("scheduled_departure", "carrier", "flight", "origin")) | row
database = sqlite3.connect(":memory:")
database.execute(f"CREATE TABLE requests ({', '.join(key)})")
database.execute(f"INSERT INTO requests VALUES ({', '.join('?' * len(key))})", list(key.values()))
print(database.execute(open(sys.argv[2]).read()).fetchone()[-3])
"""


class Surprise(Exception):
    """A command returned what the story does not expect."""


@dataclass
class Told:
    """What was told of a run: the story, and the words of the commands that carry it."""

    story: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        self.pages.append(f"## {title}\n")

    def command(self, typed: str, output: str, status: int) -> None:
        shown = "\n".join(line.rstrip() for line in output.strip().splitlines())
        self.pages.append(f"```console\n$ {typed}\n{shown}\n$ echo $?\n{status}\n```\n")

    def story_block(self) -> str:
        lines = "\n".join(self.story)
        return f"{MARKS[0]}```console\n$ make demo\n{lines}\n```\n{MARKS[1]}"

    def page(self) -> str:
        head = (
            "# What the commands say\n\n"
            "Written by `make transcript`, in one run of the demo. `make demo` fails if its\n"
            "commands and decisions are no longer these.\n"
        )
        return "\n".join([head, *self.pages])


def masked(line: str) -> str:
    """A line without its figures, which differ between machines; a version is no figure."""
    kept = re.sub(r"-?\b\d[\d,]*(\.\d+)?(?![\d.]*\.\d)\b", "#", line)
    versions = re.findall(r"\d+\.\d+\.\d+", line)
    return " ".join([re.sub(r"\d+\.\d+\.\d+", "#", kept), *versions])


def skeleton(page: str) -> list[str]:
    """Of a page of commands: its chapters, the commands, and how each ended."""
    lines = page.splitlines()
    found = []
    for number, line in enumerate(lines):
        if line.startswith("$ curl"):  # what is asked are figures
            found.append(masked(line))
        elif line.startswith(("## ", "$ mlops", "$ uv")):
            found.append(line)
        elif line.startswith("$ "):
            found.append(f"status {lines[number + 1]}")
    return found


def differences(told: Told, readme: str, page: str) -> list[str]:
    """Where README and the page tell another story than a run: lines of a diff, none if alike."""
    recorded = readme.partition(MARKS[0])[2].partition(MARKS[1])[0].splitlines()
    new = told.story_block().splitlines()[1:-1]
    return [
        *_diff("README.md", [masked(line) for line in recorded], [masked(line) for line in new]),
        *_diff("docs/demo.md", skeleton(page), skeleton(told.page())),
    ]


def _diff(name: str, recorded: list[str], new: list[str]) -> list[str]:
    return list(difflib.unified_diff(recorded, new, name, "this run", lineterm="", n=0))


def record(told: Told) -> None:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    README.write_text(f"{before}{told.story_block()}{after}", encoding="utf-8")
    RECORD.write_text(told.page(), encoding="utf-8")


class Project:
    """The generated project, and what was said and done in it."""

    def __init__(self, root: Path, told: Told) -> None:
        self.root = root
        self.told = told
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        self.told.story.append(text)
        print(f"[{time.monotonic() - self.start:4.0f} s] {text}", flush=True)

    def run(
        self, *command: str, expect: tuple[int, ...] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        shown = command[0] if "-c" in command else " ".join(command).replace(" --quiet", "")
        print(f"         $ {shown}", flush=True)
        done = subprocess.run(
            command, cwd=self.root, env=ENVIRONMENT, capture_output=True, text=True
        )
        if done.returncode not in expect:
            raise Surprise(
                f"`{' '.join(command)}` returned {done.returncode}, not {expect}:\n"
                f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done

    def git(self, *words: str) -> str:
        return self.run("git", *words).stdout

    def mlops(self, *words: str, expect: tuple[int, ...] = (0,)) -> str:
        """Run a command, keep what it printed; its last line."""
        return self.lines(*words, expect=expect)[-1]

    def lines(self, *words: str, expect: tuple[int, ...] = (0,)) -> list[str]:
        """As `mlops`, all lines of what it answered after its progress."""
        done = self.run("uv", "run", "--quiet", "mlops", *words, expect=expect)
        output = done.stderr + done.stdout
        self.told.command(f"uv run mlops {' '.join(words)}", output, done.returncode)
        return output.strip().splitlines()

    def promote(self, version: str, expect: tuple[int, ...] = (0,)) -> None:
        """Through all environments, as far as the gates let it."""
        words = (word for name in ENVIRONMENTS for word in ("--to", name))
        told = self.lines("promote", version, *words, expect=expect)
        for line in told:
            if line.startswith(f"{version} "):
                self.say(line)

    def pipeline(self, *until: str) -> None:
        self.run("uv", "run", "--quiet", "mlops", "run", *until)

    def python(self, code: str, *words: str) -> str:
        return self.run("uv", "run", "--quiet", "python", "-c", code, *words).stdout

    def verdict(self) -> Any:
        """What the gate said last."""
        return json.loads((self.root / "reports/gate.json").read_text(encoding="utf-8"))

    def live(self) -> dict[str, str | None]:
        done = self.run("uv", "run", "--quiet", "mlops", "status", "--json")
        records = json.loads(done.stdout)
        return {name: record and record["version"] for name, record in records.items()}

    def version(self) -> str | None:
        """The version that the commit at hand was registered as."""
        head = self.git("rev-parse", "HEAD").strip()
        tags = self.git("ls-remote", "origin", "refs/tags/v*").splitlines()
        named = [ref for sha, ref in (line.split() for line in tags) if sha == head]
        return named[0].removeprefix("refs/tags/v").removesuffix("^{}") if named else None

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "-m", message)

    def push(self) -> None:
        self.git("push", "--quiet", "origin", "main")


def generate(folder: Path, told: Told) -> Project:
    shutil.rmtree(folder, onerror=writable_first)
    folder.mkdir(parents=True)
    made = cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(folder))
    project = Project(Path(made), told)
    project.git("init", "--quiet", "--bare", "-b", "main", "../origin.git")
    project.git("remote", "add", "origin", "../origin.git")
    # Nothing was trained yet, so the hook that stores models first has nothing to do.
    project.git("push", "--quiet", "--no-verify", "-u", "origin", "main", "dvc-storage")
    return project


def writable_first(function: Any, path: str, _: Any) -> None:
    """Stored objects are read-only, which some systems do not let one delete."""
    if os.path.exists(path):
        os.chmod(path, stat.S_IWRITE)
        function(path)


def first_model(project: Project) -> str:
    project.told.chapter("The first model passes")
    project.say("Run the pipeline: check the data, split, train, evaluate, write the model card.")
    project.pipeline()
    project.commit("Train the first model")
    project.push()
    project.mlops("gate")
    verdict = project.verdict()
    auc = verdict["metrics"]["roc_auc"]
    project.say(verdict["sentence"])
    project.say(f"ROC AUC {shown(auc['candidate'])}, rule of thumb {shown(auc['baseline'])}.")
    project.say(project.mlops("register"))
    version = project.version()
    if version is None:
        raise Surprise("a model that passed is no version")
    project.promote(version)
    return version


def false_progress(project: Project) -> None:
    project.told.chapter("False progress is refused")
    before = project.root.parent / "before.skops"
    shutil.copy(project.root / "model/model.skops", before)
    params = project.root / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for old, new in (
        ("max_iter: 100", "max_iter: 300"),
        ("max_leaf_nodes: 31", "max_leaf_nodes: 255"),
        ("min_samples_leaf: 200", "min_samples_leaf: 5"),
        ("learning_rate: 0.08", "learning_rate: 0.3"),
    ):
        if old not in text:
            raise Surprise(f"params.yaml has no '{old}'")
        text = text.replace(old, new, 1)
    params.write_text(text, encoding="utf-8")
    project.say("Change the parameters: more, larger, finer trees.")
    project.pipeline("train")
    told = project.python(TRAINING_AUC, str(before), "model/model.skops")
    was, now = map(float, told.split())
    if now <= was:
        raise Surprise(f"the change does not even look like progress: {was} to {now}")
    project.say(f"On the training rows ROC AUC rises from {was:.3f} to {now:.3f}. But:")
    project.mlops("gate", "--env", "production", expect=(1, 2))
    project.say(project.verdict()["sentence"])
    project.git("checkout", "--quiet", "--", ".")


def poisoned(project: Project, live: dict[str, str | None]) -> None:
    """Who does not ask the gate first meets it when the model is to become a version."""
    project.told.chapter("Poison is refused")
    project.say("Poison the labels: in the history, half of EV's late flights become punctual.")
    print(project.python(POISON), end="")
    project.pipeline()
    project.commit("Correct the labels of EV")
    project.say("The pipeline runs as if nothing were wrong. But:")
    project.say(project.mlops("register", expect=(1, 2)))
    if project.version() is not None or project.live() != live:
        raise Surprise("a refused model became a version, or changed an environment")
    project.git("revert", "--no-edit", "HEAD")
    project.run("uv", "run", "--quiet", "dvc", "checkout", "--quiet", "--force")


def september(project: Project) -> str | None:
    """A month arrives. Promote it as far as the gates let it."""
    project.told.chapter("A month of data passes")
    project.say("September arrives.")
    shutil.copy(project.root / "data/incoming/2013-09.parquet", project.root / "data/raw")
    project.pipeline()
    project.commit("Add the flights of September")
    project.push()
    project.say(project.mlops("register", expect=(0, 1, 2)))
    version = project.version()
    if version is None:
        return None
    project.promote(version, expect=(0, 1, 2))
    return version


def roll_back(project: Project, first: str, second: str | None) -> None:
    project.told.chapter("The way back")
    way = second is not None and project.live()["production"] == second
    start = time.monotonic()
    words = ("rollback", "production", "--reason", "rehearsal")
    project.say(project.mlops(*words, expect=(0,) if way else (1,)))
    project.say(f"It took {time.monotonic() - start:.1f} s.")
    if (live := project.live()["production"]) != first:
        raise Surprise(f"production has {live}, not {first}")


def asked(project: Project) -> None:
    """Whoever needs an answer asks, and gets what the gate judged."""
    project.told.chapter("Who asks gets the same answer everywhere")
    row = json.loads(project.python(QUESTION))
    with serving(project) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/answers?explain=true", json.dumps(row))
        found = json.loads(connection.getresponse().read())
        connection.close()
    typed = f"curl --data '{json.dumps(row)}' 'http://127.0.0.1:8080/answers?explain=true'"
    project.told.command(typed, json.dumps(found, indent=2), 0)
    answer = found["answers"][0]
    words = ", ".join(f"{value:+g} by {name}" for name, value in reasons(answer)[:3])
    project.say(
        f"Asked over HTTP, {found['version']} says: late with {answer['probability_late']:.4f}, "
        f"{answer['decision']}; log odds {words}."
    )
    done = project.run("uv", "run", "--quiet", "mlops", "export", "sql", "production")
    query = project.root.parent / "production.sql"
    query.write_text(done.stdout, encoding="utf-8")
    probability = float(project.python(IN_SQL, json.dumps(row), str(query)))
    if round(probability, 4) != answer["probability_late"]:
        raise Surprise(f"SQL says {probability}, HTTP {answer['probability_late']}")
    project.say(f"Asked in SQL, in a database, it says: {probability:.4f}.")


def reasons(answer: dict[str, Any]) -> list[tuple[str, float]]:
    """What each input adds, the largest first."""
    return list(answer["explanation"]["contributions"].items())


@contextmanager
def serving(project: Project) -> Iterator[int]:
    """What is live in production, as a service of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("--group", "serve", "mlops", "serve", "production", "--port", str(port))
    print(f"         $ uv run {' '.join(words)}", flush=True)
    command = ["uv", "run", "--quiet", *words]
    with subprocess.Popen(
        command, cwd=project.root, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while not answers(port):
                if process.poll() is not None:
                    raise Surprise(f"`{' '.join(command)}` ended: {process.communicate()[1]}")
                time.sleep(0.1)
            yield port
        finally:
            process.terminate()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60):
            return True
    except OSError:
        return False


def shown(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def walk(folder: Path, told: Told) -> Project:
    project = generate(folder, told)
    first = first_model(project)
    live = project.live()
    false_progress(project)
    poisoned(project, live)
    second = september(project)
    roll_back(project, first, second)
    asked(project)
    project.told.chapter("What is live, and what happened")
    for command in ("status", "history"):
        project.mlops(command)
        print(told.pages[-1])
    return project


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=TEMPLATE / ".demo")
    after = parser.add_mutually_exclusive_group()
    after.add_argument("--check", action="store_true", help="against README.md and docs/demo.md")
    after.add_argument("--record", action="store_true", help="into README.md and docs/demo.md")
    arguments = parser.parse_args()
    folder, told = arguments.folder.resolve(), Told()
    print(f"Generate a project with the default answers in {folder}", flush=True)
    start = time.monotonic()
    try:
        project = walk(folder, told)
    except Surprise as surprise:
        print(f"\nThe story went wrong: {surprise}", file=sys.stderr)
        return 1
    where = os.path.relpath(project.root)
    print(f"Done in {time.monotonic() - start:.0f} s. It is yours to play with: cd {where}")
    if arguments.record:
        record(told)
    if arguments.check:
        found = differences(
            told, README.read_text(encoding="utf-8"), RECORD.read_text(encoding="utf-8")
        )
        if found:
            print("README.md or docs/demo.md tell another story; `make transcript` mends them:")
            print("\n".join(found))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
