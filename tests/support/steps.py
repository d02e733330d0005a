"""The workflows' own steps, run in this process: the YAML that `act` walks, in a tenth of its time.

What a job is, which condition holds, what a step is given and what it hands on is read from the
workflow. Bash reads each `run:` line, so that quotes and redirections are the real ones, and the
actions are the small ones that stand in under `act` too. Only `uv run mlops`, for which `act`
starts a process in a new environment, is a call of the library. `test_steps.py` holds all this to
`act`. It knows as much of GitHub's language as our workflows use, and raises on the rest.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from projects import in_process

Env = dict[str, str]
# Notes the words, the environment and where the output goes, instead of starting anything.
UV = """\
#!/bin/sh
exec 3>&1
readlink "/proc/$$/fd/3" > "${CALLED}/out"
env -0 > "${CALLED}/env"
printf '%s\\0' "$@" > "${CALLED}/words"
"""
COMMAND = ("run", "--locked", "mlops")
_TOKEN = re.compile(
    r"\s*(?:'(?P<text>(?:[^']|'')*)'|(?P<number>\d+)|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<sign>&&|\|\||==|!=|[!().,*]))"
)
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_STATUS = re.compile(r"\b(always|cancelled|failure|success)\(")


@dataclass(frozen=True)
class Call:
    """One call of `uv` by a step."""

    job: str
    words: tuple[str, ...]
    env: Env


@dataclass
class Job:
    """A job while it runs, or what of a job a composite action sees."""

    name: str
    workspace: Path
    context: dict[str, Any]
    env: Env
    failed: bool = False
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)

    def inside(self, inputs: Mapping[str, Any]) -> Job:
        """As the steps of a composite action see it."""
        return Job(self.name, self.workspace, self.context | {"inputs": inputs}, self.env)


@dataclass
class Run:
    """One run of a workflow; `execute` returns what each job came to."""

    tree: Path
    folder: Path
    context: dict[str, Any]
    env: Env
    tools: Path
    actions: Callable[[str], Path]
    jobs: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    _count: int = 0

    def execute(self, workflow: str, until: str | None = None) -> dict[str, Any]:
        """Run a workflow's jobs, or one of them and what it needs; their results and outputs."""
        whole = yaml.safe_load((self.tree / ".github/workflows" / workflow).read_text())
        env = _filled(whole.get("env", {}), self.context)
        context = self.context | {"env": env}
        done: dict[str, Any] = {}
        for name, job in _in_order(whole["jobs"], until):
            needs = {needed: done[needed] for needed in _listed(job.get("needs"))}
            failed = any(need["result"] != "success" for need in needs.values())
            here = context | {"needs": needs}
            if not _holds(job.get("if"), here, failed):
                done[name] = {"result": "skipped", "outputs": {}}
            elif "uses" in job:
                done[name] = self._called(job, here)
            else:
                done[name] = self._job(name, job, here, env, whole["name"])
        return done

    def _called(self, job: Any, context: dict[str, Any]) -> dict[str, Any]:
        """A job that is another workflow."""
        inputs = _filled(job.get("with", {}), context)
        inner = Run(**{**vars(self), "context": self.context | {"inputs": inputs}})
        results = inner.execute(Path(job["uses"]).name)
        self._count = inner._count
        bad = [one["result"] for one in results.values() if one["result"] != "success"]
        return {"result": bad[0] if bad else "success", "outputs": {}}

    def _job(
        self, name: str, job: Any, context: dict[str, Any], env: Env, workflow: str
    ) -> dict[str, Any]:
        self._count += 1
        place = self.folder / f"job-{self._count}"
        workspace, temp = place / "work", place / "temp"
        for folder in (workspace, temp):
            folder.mkdir(parents=True)
        (place / "bin").mkdir()
        (place / "bin/uv").write_text(UV)
        (place / "bin/uv").chmod(0o755)
        told = {
            "GITHUB_JOB": name,
            "GITHUB_WORKFLOW": workflow,
            "GITHUB_WORKSPACE": str(workspace),
            "RUNNER_TEMP": str(temp),
        }
        context = context | {"runner": {"temp": str(temp), "arch": "X64"}}
        own = _filled(job.get("env", {}), context)
        here = Job(name, workspace, context | {"env": env | own}, self.env | told | env | own)
        self._steps(job["steps"], here)
        self.jobs[name] = "failure" if here.failed else "success"
        outputs = _filled(job.get("outputs", {}), here.context | {"steps": _shown(here)})
        return {"result": self.jobs[name], "outputs": outputs}

    def _steps(self, steps: list[Any], job: Job) -> None:
        for step in steps:
            status = "failure" if job.failed else "success"
            context = job.context | {"steps": _shown(job), "job": {"status": status}}
            if not _holds(step.get("if"), context, job.failed):
                continue
            env = _filled(step.get("env", {}), context)
            here = Job(job.name, job.workspace, context, job.env | env)
            good = self._uses(step, here) if "uses" in step else self._runs(step, here, job)
            job.env |= {k: v for k, v in here.env.items() if k not in env and job.env.get(k) != v}
            job.outcomes[step.get("id", "")] = "success" if good else "failure"
            job.failed = job.failed or not (good or step.get("continue-on-error"))

    def _uses(self, step: Any, job: Job) -> bool:
        """An action of the checkout, or one that stands in."""
        name = step["uses"]
        local = name.startswith("./")
        folder = job.workspace / name if local else self.actions(name.partition("@")[0])
        action = yaml.safe_load((folder / "action.yml").read_text())
        assert action["runs"]["using"] == "composite"
        given = _filled(step.get("with", {}), job.context)
        inputs = {
            key: given.get(key, _text(one.get("default")))
            for key, one in (action.get("inputs") or {}).items()
        }
        assert given.keys() <= inputs.keys(), f"{name} does not take {given.keys() - inputs.keys()}"
        inner = job.inside(inputs)
        self._steps(action["runs"]["steps"], inner)
        return not inner.failed

    def _runs(self, step: Any, job: Job, outer: Job) -> bool:
        """One `run:` step; whether it went well."""
        place = job.workspace.parent
        files = {f"GITHUB_{n}": place / n for n in ("ENV", "OUTPUT", "PATH", "STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        called = place / "called"
        called.mkdir(exist_ok=True)
        for path in called.iterdir():
            path.unlink()
        script = place / "script.sh"
        script.write_text(_interpolated(step["run"], job.context))
        plain = (
            ("-e",) if "shell" not in step else ("--noprofile", "--norc", "-e", "-o", "pipefail")
        )
        folder = job.workspace / _filled(step, job.context).get("working-directory", ".")
        env = job.env | {name: str(path) for name, path in files.items()}
        tools = {"PATH": f"{place / 'bin'}{os.pathsep}{env['PATH']}", "CALLED": str(called)}
        done = subprocess.run(
            ["bash", *plain, str(script)],
            cwd=folder,
            env=env | tools,
            capture_output=True,
            text=True,
        )
        self._say(job, done)
        status = done.returncode
        if not status and (called / "words").exists():
            status = self._called_uv(called, folder, job)
        for line in files["GITHUB_OUTPUT"].read_text().splitlines():
            name, _, value = line.partition("=")
            outer.outputs.setdefault(step.get("id", ""), {})[name] = value
        job.env |= dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
        if text := files["GITHUB_STEP_SUMMARY"].read_text():
            self.summary.append(text)
        return status == 0

    def _called_uv(self, called: Path, folder: Path, job: Job) -> int:
        words = tuple((called / "words").read_text().split("\0")[:-1])
        env = dict(pair.split("=", 1) for pair in (called / "env").read_text().split("\0")[:-1])
        env["PATH"] = env["PATH"].partition(os.pathsep)[2]
        del env["CALLED"]
        self.calls.append(Call(job.name, words, env))
        if words[0] == "sync":  # the environment is this one
            return 0
        if words[: len(COMMAND)] == COMMAND:
            done = in_process(words[len(COMMAND) :], folder, env)
        else:
            assert words[:2] == COMMAND[:2], words
            path = {"PATH": f"{self.tools}{os.pathsep}{env['PATH']}"}
            done = subprocess.run(
                words[2:], cwd=folder, env=env | path, capture_output=True, text=True
            )
        out = Path((called / "out").read_text().strip())
        if out.is_file():
            out.write_text(done.stdout)
            done.stdout = ""
        self._say(job, done)
        return done.returncode

    def _say(self, job: Job, done: subprocess.CompletedProcess[str]) -> None:
        for line in (done.stdout + done.stderr).splitlines():
            self.log.append(f"[{job.name}] {line.rstrip()}")


def _in_order(jobs: dict[str, Any], until: str | None) -> Iterator[tuple[str, Any]]:
    """The jobs, each after what it needs; they stand in the file in that order."""
    wanted = set(jobs)
    if until:
        wanted, more = set(), {until}
        while more:
            wanted |= more
            more = {n for name in more for n in _listed(jobs[name].get("needs"))}
    yield from ((name, job) for name, job in jobs.items() if name in wanted)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _shown(job: Job) -> dict[str, Any]:
    return {
        name: {"outputs": job.outputs.get(name, {}), "outcome": job.outcomes.get(name)}
        for name in job.outputs.keys() | job.outcomes.keys()
    }


# GitHub's language of expressions


def _filled(values: Any, context: dict[str, Any]) -> dict[str, str]:
    return {key: _interpolated(_text(value), context) for key, value in values.items()}


def _interpolated(text: str, context: dict[str, Any]) -> str:
    return _EXPRESSION.sub(lambda found: _text(evaluate(found[1], context)), text)


def _holds(condition: Any, context: dict[str, Any], failed: bool) -> bool:
    """Whether a job or step runs: after a failure only if its condition asks how it went."""
    text = _text(True if condition is None else condition).strip()
    if whole := re.fullmatch(r"\$\{\{(.*)\}\}", text, re.DOTALL):
        text = whole[1]
    if failed and not _STATUS.search(text):
        return False
    return bool(evaluate(text, context | {"failed": failed}))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def evaluate(text: str, context: dict[str, Any]) -> Any:
    """The value of an expression, as GitHub reads it."""
    parser = _Parser(text, context)
    value = parser.any()
    assert parser.sign() == "", f"{text!r} goes on after {parser.at}"
    return value


class _Parser:
    """Reads from left to right; each method reads what binds tighter than the one before."""

    def __init__(self, text: str, context: dict[str, Any]) -> None:
        self.text, self.context, self.at = text.strip(), context, 0

    def sign(self) -> str:
        """What comes next, without taking it."""
        found = _TOKEN.match(self.text, self.at)
        assert found or self.at == len(self.text), f"{self.text!r} at {self.at}"
        return (found["sign"] or found[0].strip()) if found else ""

    def take(self, *signs: str) -> str:
        found = _TOKEN.match(self.text, self.at)
        assert found, self.text
        assert not signs or found["sign"] in signs, f"{self.text!r} at {self.at}"
        self.at = found.end()
        return found[0].strip()

    def any(self) -> Any:
        value = self.all()
        while self.sign() == "||":
            self.take()
            other = self.all()
            value = value or other
        return value

    def all(self) -> Any:
        value = self.same()
        while self.sign() == "&&":
            self.take()
            other = self.same()
            value = value and other
        return value

    def same(self) -> Any:
        value = self.negated()
        while (sign := self.sign()) in ("==", "!="):
            self.take()
            value = (_number(value) == _number(self.negated())) == (sign == "==")
        return value

    def negated(self) -> Any:
        if self.sign() == "!":
            self.take()
            return not self.negated()
        value = self.one()
        while self.sign() == ".":
            self.take()
            value = _inside(value, self.take())
        return value

    def one(self) -> Any:
        if self.sign() == "(":
            self.take()
            value = self.any()
            self.take(")")
            return value
        word = self.take()
        if word.startswith("'"):
            return word[1:-1].replace("''", "'")
        if word.isdigit():
            return int(word)
        if self.sign() != "(":
            known = {"true": True, "false": False, "null": None}
            return known[word] if word in known else self.context.get(word)
        self.take()
        words = []
        while self.sign() != ")":
            words.append(self.any())
            if self.sign() == ",":
                self.take()
        self.take(")")
        return _FUNCTIONS[word](self.context, *words)


class _Many(list[Any]):
    """What `.*` gives."""


def _inside(value: Any, name: str) -> Any:
    if name == "*":
        return _Many(value.values())
    if isinstance(value, _Many):
        return _Many(_inside(item, name) for item in value)
    return value.get(name) if isinstance(value, dict) else None


def _number(value: Any) -> Any:
    """Texts are compared without regard to case; nothing at all is an empty text."""
    return _text(value).casefold()


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "always": lambda _: True,
    "cancelled": lambda _: False,
    "success": lambda context: not context["failed"],
    "failure": lambda context: context["failed"],
    "join": lambda _, items, between=",": between.join(map(_text, items)),
    "startsWith": lambda _, text, start: _number(text).startswith(_number(start)),
    "toJSON": lambda _, value: json.dumps(value),
    "fromJSON": lambda _, text: json.loads(text),
}
