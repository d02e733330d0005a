"""GitHub Actions on this machine: `act` runs a project's workflows, or `steps` in this process.

A bare repository plays GitHub's Git side, under its real address by `url.<path>.insteadOf`, and
keeps the rulesets that close a branch; the stand-in plays its API. Actions that cannot be fetched
are mapped to the small ones in `actions/`. A walk is given the event that GitHub would send, whole
and as published, and returns what GitHub would show.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.public import SealedBox
from projects import ENVIRONMENT, Parcels, Project
from published import Description
from standin import StandIn, event
from steps import Call, Run

ACTIONS = Path(__file__).parent / "actions"
SLUG = "acme/late-flights"
SERVER = "https://github.com"
STAND_INS = {
    "actions/checkout": "checkout",
    "actions/upload-artifact": "upload-artifact",
    "actions/download-artifact": "download-artifact",
    "actions/attest": "attest",
    "ossf/scorecard-action": "scorecard",
    "github/codeql-action": "codeql",
    "astral-sh/setup-uv": "setup-uv",
    "aws-actions/configure-aws-credentials": "sign-in",
    "google-github-actions/auth": "sign-in",
    "azure/login": "sign-in",
}
TOKEN = "ghs_standin"
OWNER_TOKEN = "ghp_owner"
# Keeps what .github/rulesets says of these refs; GitHub itself merges as the key does.
HOOK = """\
#!/bin/sh
[ -n "$MAY_PASS" ] && exit 0
while read -r old new ref; do
  case "$ref" in
    refs/heads/registry | refs/heads/promotions/* | refs/tags/v*)
      echo "GH013: Repository rule violations found for $ref." >&2
      exit 1
  esac
done
"""
# The repository is private: Git is served to whoever shows the token.
PRIVATE = """\
#!/bin/sh
[ -n "$MAY_PASS" ] || env | grep -q '^GIT_CONFIG_VALUE_[0-9]*=AUTHORIZATION: basic {basic}$' || {{
  echo "Repository not found." >&2
  exit 128
}}
exec git {service} "$@"
"""
# Notes how `uv` was called, and lets it run.
UV = """\
#!/bin/sh
into="{place}/calls/$(date +%s%N)"
mkdir -p "${{into}}"
env -0 > "${{into}}/env"
printf '%s\\0' "$@" > "${{into}}/words"
exec {uv} "$@"
"""
# Stands in for gh: what the action `attest` signed in a run of the release is attested.
GH = """\
#!/bin/sh
wanted="attestation verify --repo {slug} --signer-workflow {workflow}"
test "$1 $2 $4 $5 $6 $7" = "$wanted" || exit 64
cat {place}/run-*/attested 2> /dev/null | grep -qx "$(sha256sum "$3" | cut -d" " -f1)" || {{
  echo "no attestation of $3" >&2
  exit 1
}}
"""
# Stands in for ssh to GitHub: only whoever holds a deploy key comes in.
SSH = """\
#!/bin/sh
ssh-add -L | grep -qF "$(cut -d' ' -f2 {key})" || {{ echo "Permission denied." >&2; exit 255; }}
MAY_PASS=1 exec git receive-pack {origin}
"""


@dataclass
class Walk:
    """What one run of a workflow came to."""

    run_id: int
    status: int
    jobs: dict[str, str]
    log: str
    summary: str
    folder: Path
    steps: tuple[tuple[str, str, float], ...] = ()  # job, step, seconds
    calls: tuple[Call, ...] = ()  # of uv: in this process, or where they were noted

    @property
    def end(self) -> str:
        """The last lines that say something."""
        noise = ("LocalRepositoryCache", "Success - ", "⭐ Run ")
        lines = [line for line in self.log.splitlines() if not any(n in line for n in noise)]
        return "\n".join(lines[-60:])

    @property
    def verdict(self) -> Any:
        """gate.json, as the run offers it."""
        return json.loads((self.artifacts / "gate/gate.json").read_text(encoding="utf-8"))

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def noted(self, name: str) -> list[str]:
        """What the small actions wrote down: `installed` environments, who `signed-in`."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@contextmanager
def on_github(
    project: Project, published: Description, act: bool = True
) -> Iterator[GitHubActions]:
    """The project, on a GitHub that finds each request and answer as it is published."""
    with StandIn(published) as hub:
        yield GitHubActions(project, hub, act)
    assert hub.errors == []


class GitHubActions:
    """A project whose origin is on GitHub, and the runner of its workflows.

    The runner is `act`, or with `act` false this process; a test may change it between two walks.
    """

    def __init__(self, project: Project, hub: StandIn, act: bool = True) -> None:
        self.project: Any = project  # or one of its kinds, which can more
        self.hub = hub
        self.act = act
        self.place = project.root.parent / "github"
        self.home = self.place / "home"
        self.home.mkdir(parents=True)
        self.run_id = 1000
        self.secrets: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.env: dict[str, str] = {}
        self.actor = "octocat"
        self.prepared = True  # an environment is there before `uv sync` looks, as from a cache
        gh = self.place / "bin/gh"
        gh.parent.mkdir()
        workflow = f"{SLUG}/.github/workflows/release.yml"
        gh.write_text(GH.format(slug=SLUG, workflow=workflow, place=self.place))
        gh.chmod(0o755)
        hub.head_sha = self._sha
        hub.logins[OWNER_TOKEN] = "octocat"
        workflows = (project.root / ".github/workflows").iterdir()
        hub.workflows = {path.name: "active" for path in workflows}
        (self.home / ".gitconfig").write_text(
            f'[url "{project.origin}"]\n\tinsteadOf = {SERVER}/{SLUG}\n'
            f'[remote "origin"]\n\tuploadpack = {self._served("upload-pack")}\n'
            f"\treceivepack = {self._served('receive-pack')}\n"
            f"[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n"
        )
        project.git("config", f"url.{project.origin}.insteadOf", f"{SERVER}/{SLUG}")
        project.git("remote", "set-url", "origin", f"{SERVER}/{SLUG}")

    @property
    def parcels(self) -> Parcels:
        """The tiny project."""
        assert isinstance(self.project, Parcels)
        return self.project

    # What people do

    def branch(self, name: str) -> None:
        self.project.git("checkout", "--quiet", "-b", name)

    def push(self, message: str = "Change", to: str = "origin") -> str:
        """Commit all and push the branch at hand; its commit."""
        project = self.project
        project.git("add", "--all")
        project.git("commit", "--quiet", "--no-verify", "--allow-empty", "-m", message)
        project.git("push", "--quiet", "--no-verify", "--force", to, "HEAD")
        return str(project.git("rev-parse", "HEAD"))

    def pull_request(
        self,
        workflow: str = "model-gate.yml",
        number: int = 7,
        fork: bool = False,
        title: str = "Change",
        **more: Any,
    ) -> Walk:
        """Push the branch at hand and open, or update, its pull request."""
        branch = self.project.git("branch", "--show-current")
        owner = "ada" if fork else SLUG.partition("/")[0]
        origin = f"{self.project.origin}"
        if fork:
            origin = str(self.place / "fork.git")
            self._git(self.place, "clone", "--quiet", "--bare", str(self.project.origin), origin)
        head = self.push(to=origin)
        merge = self._merge(origin, branch, f"refs/pull/{number}/merge")
        side = {
            "number": number,
            "title": title,
            "body": title,
            "head": {
                "ref": branch,
                "sha": head,
                "label": f"{owner}:{branch}",
                "user": {"login": owner},
                "repo": {"fork": fork, "owner": {"login": owner}},
            },
            "base": {"ref": "main", "sha": self._sha("main")},
        }
        self.hub.pulls = [pull for pull in self.hub.pulls if pull["number"] != number]
        self.hub.open(title, None, "main", "main", number=number)
        shown = {"ref": branch, "sha": head, "label": f"{owner}:{branch}"}
        self.hub.pulls[-1]["head"] |= shown
        payload = {"action": "synchronize", "number": number, "pull_request": side}
        return self.walk(workflow, "pull_request", payload, merge, **more)

    def completed(self, walk: Walk, fork: bool = False, **fields: Any) -> Walk:
        """The run of the model gate is over, so GitHub starts the comment."""
        owner = "ada" if fork else SLUG.partition("/")[0]
        run = {
            "id": walk.run_id,
            "name": "model-gate",
            "event": "pull_request",
            "status": "completed",
            "conclusion": "success" if walk.status == 0 else "failure",
            "head_branch": self.project.git("branch", "--show-current"),
            "head_sha": self.project.git("rev-parse", "HEAD"),
            "head_repository": {"owner": {"login": owner}, "full_name": f"{owner}/late-flights"},
            **fields,
        }
        payload = {"action": "completed", "workflow_run": run}
        return self.walk("comment.yml", "workflow_run", payload, self._sha("main"))

    def merge_queue(self, workflow: str = "model-gate.yml", **more: Any) -> Walk:
        """The merge queue tries the branch at hand."""
        self.push()
        branch = self.project.git("branch", "--show-current")
        queue = f"refs/heads/gh-readonly-queue/main/pr-7-{self._sha('main')}"
        merge = self._merge(str(self.project.origin), branch, queue)
        payload = {
            "action": "checks_requested",
            "merge_group": {
                "head_sha": merge,
                "head_ref": queue,
                "base_sha": self._sha("main"),
                "base_ref": "refs/heads/main",
            },
        }
        return self.walk(workflow, "merge_group", payload, merge, **more)

    def merge(self, message: str = "Merge") -> str:
        """Merge the branch at hand into main, on GitHub and here; the commit."""
        branch = self.project.git("branch", "--show-current")
        self.push()
        if branch != "main":
            self.project.git("checkout", "--quiet", "main")
            self.project.git("merge", "--quiet", "--no-ff", "-m", message, branch)
            self.project.git("push", "--quiet", "--no-verify", "origin", "main")
        return str(self.project.git("rev-parse", "HEAD"))

    def pushed(self, workflow: str = "release.yml", **more: Any) -> Walk:
        """What GitHub does after a push to main."""
        sha = self._sha("main")
        payload = {"ref": "refs/heads/main", "before": sha, "after": sha, "deleted": False}
        return self.walk(workflow, "push", payload, sha, **more)

    def dispatch(
        self, workflow: str, inputs: dict[str, str] | None = None, ref: str = "main", **more: Any
    ) -> Walk:
        """Somebody starts a workflow by hand."""
        payload = {
            "inputs": inputs or {},
            "ref": f"refs/heads/{ref}",
            "workflow": f".github/workflows/{workflow}",
        }
        return self.walk(workflow, "workflow_dispatch", payload, self._sha(ref), ref=ref, **more)

    def schedule(self, workflow: str, **more: Any) -> Walk:
        """It is time for the weekly run."""
        payload = {"schedule": "17 5 * * 1"}
        return self.walk(workflow, "schedule", payload, self._sha("main"), **more)

    def apply_settings(self) -> None:
        """A maintainer runs `mlops github apply` once; what it sets is in force from then on."""
        self._maintain("github", "apply", "--yes")
        for environment, name in (("production", "REGISTRY_KEY"), ("dev", "SIGNING_KEY")):
            sealed = b64decode(self.hub.secrets[environment][name])
            self.secrets[name] = SealedBox(self.hub.box).decrypt(sealed).decode()
        self.variables |= self.hub.variables
        hook = self.project.origin / "hooks/pre-receive"
        ssh, key = self.place / "ssh", self.place / "key.pub"
        key.write_text(self.hub.keys[0]["key"])
        hook.write_text(HOOK)
        ssh.write_text(SSH.format(key=key, origin=self.project.origin))
        for script in (hook, ssh):
            script.chmod(0o755)
        self.env["GIT_SSH_COMMAND"] = str(ssh)

    def doctor(self, expect: int = 0) -> str:
        """What `mlops doctor` tells a maintainer."""
        return self._maintain("doctor", expect=expect)

    def _maintain(self, *words: str, expect: int = 0) -> str:
        env = {"GITHUB_API_URL": self.hub.url, "GH_TOKEN": OWNER_TOKEN}
        return str(self.project.mlops(*words, expect=expect, env=env).stdout)

    def merge_proposal(self, login: str) -> dict[str, Any]:
        """Somebody approves the open pull request to the registry, and it is merged; it."""
        pull: dict[str, Any] = next(p for p in self.hub.pulls if p["base"]["ref"] == "registry")
        tree, head = self.place / f"registry-{self.run_id}", pull["head"]["ref"]
        self._git(self.place, "clone", "--quiet", "-b", "registry", f"{SERVER}/{SLUG}", str(tree))
        self._git(tree, "merge", "--quiet", "--no-ff", "-m", "Merge", f"origin/{head}")
        self._git(tree, "push", "--quiet", "--no-verify", "origin", "HEAD:registry")
        self.hub.commit_pulls[self._sha(head)] = [pull["number"]]
        self.hub.review(pull["number"], login)
        self.hub.merge(pull["number"], login, self._sha("registry"))
        return pull

    # What GitHub does

    def walk(
        self,
        workflow: str,
        name: str,
        payload: dict[str, Any],
        sha: str,
        *,
        ref: str = "main",
        approved_by: str = "",
        again: int | None = None,
        until: str | None = None,
        words: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> Walk:
        """Run a workflow as it stands in commit `sha`.

        `again` is a run that is tried again, `until` the last job that runs, `words` are for `act`.
        """
        self.run_id += again is None
        number = again or self.run_id
        self.hub.run(number, workflow, event=name, actor=self.actor)
        if approved_by:
            self.hub.approve(number, "production", approved_by)
        run = self.place / f"run-{number}"
        shutil.rmtree(run, ignore_errors=True)
        for folder in ("artifacts", "cache"):
            (run / folder).mkdir(parents=True)
        tree = run / "tree"
        self._git(run, "clone", "--quiet", "--no-checkout", f"{SERVER}/{SLUG}", str(tree))
        self._git(tree, "fetch", "--quiet", "origin", "+refs/*:refs/all/*")
        self._git(tree, "checkout", "--quiet", "-B", ref, sha)
        self._spell(tree)
        payload = {"repository": self._repository(), "sender": {"login": self.actor}} | payload
        whole = event(self.hub.published, name, payload)
        (run / "event.json").write_text(json.dumps(whole))
        variables = {
            "GITHUB_API_URL": self.hub.url,
            "GITHUB_RUN_ID": str(number),
            "GITHUB_RUN_ATTEMPT": "2" if again else "1",
            "STANDIN": str(run),
            "PREPARED": str(self.project.venv) if self.act and self.prepared else "",
            "UV_CACHE_DIR": self._cache(),
            "UV_LINK_MODE": "hardlink",
            "KF_RULE_CACHE_DIR": os.environ["KF_RULE_CACHE_DIR"],
            "OMP_NUM_THREADS": ENVIRONMENT["OMP_NUM_THREADS"],
            **self.env,
            **(env or {}),
        }
        around = {
            **{
                k: v for k, v in ENVIRONMENT.items() if not k.startswith(("GIT_AUTHOR", "GIT_COMM"))
            },
            "HOME": str(self.home),
            "PATH": f"{self.place / 'bin'}{os.pathsep}{ENVIRONMENT['PATH']}",
            "XDG_CACHE_HOME": str(run / "cache"),
        }
        if not self.act:
            return self._in_process(workflow, name, whole, sha, ref, until, run, around | variables)
        command = [
            *("act", name, "--json", "--no-skip-checkout", "--actor", self.actor),
            *("-P", "ubuntu-latest=-self-hosted", "-W", str(tree / ".github/workflows" / workflow)),
            *("-C", str(tree), "-e", str(run / "event.json"), "--defaultbranch", "main"),
            *("--no-cache-server", "--concurrent-jobs", "1"),
            *(word for pair in variables.items() for word in ("--env", "=".join(pair))),
            *(word for pair in self.variables.items() for word in ("--var", "=".join(pair))),
            *self._mapped(tree),
            *(("-j", until) if until else ()),
            *words,
        ]
        secrets = run / "secrets"
        secrets.write_text(
            "".join(
                f"{k}={json.dumps(v)}\n" for k, v in {"GITHUB_TOKEN": TOKEN, **self.secrets}.items()
            )
        )
        done = subprocess.run(
            [*command, "--secret-file", str(secrets)],
            cwd=tree,
            env=around,
            capture_output=True,
            text=True,
        )
        return self._told(done, number, run)

    def note_calls(self) -> None:
        """Let `act` note how the steps call `uv`, as this process does anyway."""
        script = self.place / "bin/uv"
        script.write_text(UV.format(place=self.place, uv=shutil.which("uv")))
        script.chmod(0o755)

    def _in_process(
        self,
        workflow: str,
        name: str,
        payload: dict[str, Any],
        sha: str,
        ref: str,
        until: str | None,
        run: Path,
        env: dict[str, str],
    ) -> Walk:
        """The same by `steps`: what `act` tells the jobs is told here."""
        pull = payload.get("pull_request", {})
        if name == "pull_request":
            full = f"refs/pull/{payload['number']}/merge"
        else:
            full = payload.get("merge_group", {}).get("head_ref") or f"refs/heads/{ref}"
        asked = name.startswith("pull_request")
        github = {
            "event": payload,
            "event_name": name,
            "actor": self.actor,
            "sha": sha,
            "ref": full,
            "ref_name": re.sub(r"^refs/(heads|tags|pull)/", "", full),
            "base_ref": pull["base"]["ref"] if asked else "",
            "head_ref": pull["head"]["ref"] if asked else "",
            "repository": SLUG,
            "repository_owner": SLUG.partition("/")[0],
            "server_url": SERVER,
            "event_path": str(run / "event.json"),
        }
        told = {f"GITHUB_{k.upper()}": v for k, v in github.items() if isinstance(v, str)}
        context = {
            "github": github | {"token": TOKEN, "run_id": env["GITHUB_RUN_ID"]},
            "vars": dict(self.variables),
            "secrets": {"GITHUB_TOKEN": TOKEN, **self.secrets},
            "inputs": payload.get("inputs") or {},
        }
        always = {"CI": "true", "GITHUB_ACTIONS": "true"}
        tree, tools = run / "tree", self.project.venv / "bin"
        made = Run(tree, run, context, env | always | told, tools, _stand_in)
        results = made.execute(workflow, until)
        bad = [one for one in results.values() if one["result"] == "failure"]
        return Walk(
            int(env["GITHUB_RUN_ID"]),
            int(bool(bad)),
            made.jobs,
            "\n".join(made.log),
            "\n".join(made.summary),
            run,
            calls=tuple(made.calls),
        )

    def _told(self, done: subprocess.CompletedProcess[str], number: int, run: Path) -> Walk:
        jobs: dict[str, str] = {}
        lines, summaries, steps = [], [], []
        for line in done.stdout.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                lines.append(line)
                continue
            lines.append(f"[{entry.get('job', '')}] {entry.get('msg', '').rstrip()}")
            if entry.get("command") == "summary":
                summaries.append(entry["content"])
            if "executionTime" in entry and len(entry["stepID"]) == 1:
                steps.append((entry["jobID"], entry["step"], entry["executionTime"] / 1e9))
            if "jobResult" in entry:
                jobs[entry["jobID"]] = entry["jobResult"]
        log = "\n".join([*lines, done.stderr])
        shown = "\n".join(summaries)
        calls = tuple(_noted_calls(self.place / "calls"))
        return Walk(number, done.returncode, jobs, log, shown, run, tuple(steps), calls)

    def _served(self, service: str) -> Path:
        """A Git service that asks for the token of the run."""
        basic = b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        script = self.home / service
        script.write_text(PRIVATE.format(basic=basic, service=service))
        script.chmod(0o755)
        return script

    def _spell(self, tree: Path) -> None:
        """act knows `./` and not yet `$/`, the same files of the same commit; nor some keys."""
        for path in (tree / ".github").rglob("*.yml"):
            text = path.read_text().replace("uses: $/", "uses: ./")
            path.write_text(
                re.sub(r"^ +(queue: max|deployment: false)\b.*\n", "", text, flags=re.M)
            )

    def _mapped(self, tree: Path) -> list[str]:
        used = set()
        for path in (tree / ".github").rglob("*.yml"):
            used |= set(re.findall(r"uses: ([\w.-]+/[\w.-]+)(?:/[\w-]+)?@(\w+)", path.read_text()))
        words = []
        for name, sha in sorted(used):
            if name not in STAND_INS:  # of a workflow that is not walked
                continue
            words += ["--local-repository", f"{name}@{sha}={ACTIONS / STAND_INS[name]}"]
        return words

    def _merge(self, origin: str, branch: str, into: str) -> str:
        """GitHub's own merge of a branch of `origin` into main, under the name `into`."""
        tree = self.place / "merge"
        shutil.rmtree(tree, ignore_errors=True)
        self._git(self.place, "clone", "--quiet", f"{SERVER}/{SLUG}", str(tree))
        self._git(tree, "checkout", "--quiet", "main")
        self._git(tree, "fetch", "--quiet", origin, branch)
        self._git(tree, "merge", "--quiet", "--no-ff", "-m", f"Merge {branch}", "FETCH_HEAD")
        self._git(tree, "push", "--quiet", "--no-verify", "--force", "origin", f"HEAD:{into}")
        return self._git(tree, "rev-parse", "HEAD")

    def _repository(self) -> dict[str, Any]:
        owner, name = SLUG.split("/")
        return {
            "name": name,
            "full_name": SLUG,
            "owner": {"login": owner},
            "default_branch": "main",
            "private": self.hub.repository["private"],
            "html_url": f"{SERVER}/{SLUG}",
        }

    def _sha(self, ref: str) -> str:
        """The commit of a branch or of a version's tag."""
        names = f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}"
        return self._git(self.project.root, "ls-remote", "origin", *names).split()[0]

    def _git(self, where: Path, *words: str) -> str:
        """As GitHub itself does it."""
        done = subprocess.run(
            ["git", *words],
            cwd=where,
            env={**ENVIRONMENT, "HOME": str(self.home), "MAY_PASS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def _cache(self) -> str:
        said = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True)
        return said.stdout.strip() or os.environ["UV_CACHE_DIR"]


def went_well(walk: Walk, *jobs: str) -> None:
    assert walk.status == 0, walk.end
    assert {job for job, result in walk.jobs.items() if result == "success"} == set(jobs)


def shown(github: GitHubActions) -> list[tuple[str, str]]:
    """The deployments that GitHub shows as done."""
    hub = github.hub
    return [
        (made["environment"], made["ref"])
        for made in hub.deployments
        if [status["state"] for status in hub.statuses.get(made["id"], [])] == ["success"]
    ]


def _stand_in(name: str) -> Path:
    """The folder of the action that stands in for `owner/name` or `owner/name/inner`."""
    owner, action, *inner = name.split("/")
    return ACTIONS.joinpath(STAND_INS[f"{owner}/{action}"], *inner)


def _noted_calls(folder: Path) -> Iterator[Call]:
    for place in sorted(folder.iterdir()) if folder.exists() else ():
        words = tuple((place / "words").read_text().split("\0")[:-1])
        env = dict(pair.split("=", 1) for pair in (place / "env").read_text().split("\0")[:-1])
        yield Call(env["GITHUB_JOB"], words, env)
    shutil.rmtree(folder, ignore_errors=True)
