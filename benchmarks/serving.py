"""How fast a version answers over HTTP, beside others; writes benchmarks/serving.md.

    uv run --no-project --python PROJECT/.venv/bin/python benchmarks/serving.py PROJECT

PROJECT is a generated project with a version in production (`make demo` leaves one in .demo). All
are asked by `wrk` of Debian's package in this one run, on one machine: whatever serves and wrk
share its processors. Nothing else should run meanwhile. The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TEMPLATE = HERE.parent
SECONDS = 8
ECHO = """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
async def echo(request):
    return Response(await request.body(), media_type="application/json")
app = Starlette(routes=[Route("/answers", echo, methods=["POST"])])
"""
FASTAPI = """
import pandas as pd
from pathlib import Path
from fastapi import FastAPI
from gatewright.adapters.model_file import allowed_types, load_model
from gatewright.contract.schema import read_contract
from gatewright.evaluation.predictions import request_rows
contract = read_contract(Path("."))
model = load_model(Path("model/model.skops"), allowed_types(Path(".")))
app = FastAPI()
@app.post("/answers")
def answer(rows: list[dict] | dict):
    listed = rows if isinstance(rows, list) else [rows]
    return model.predict_proba(request_rows(listed, contract))[:, 1].tolist()
"""
MLFLOW = """
import sys
from pathlib import Path
import mlflow.sklearn
from gatewright.adapters.model_file import allowed_types, load_model
model = load_model(Path("model/model.skops"), allowed_types(Path(".")))
mlflow.sklearn.save_model(model, sys.argv[1], pyfunc_predict_fn="predict_proba",
                          serialization_format="cloudpickle")
"""
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[%s]==]
"""
UVICORN = ("--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning")
SERVER = ("uvicorn", "httptools", "uvloop")


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests a second, and the 99th percentile of seconds."""

    rate: float
    p99: float
    failed: int


@dataclass
class Served:
    """One that serves: how it is started, where it is asked, what a request looks like."""

    name: str
    command: Sequence[str]
    folder: Path
    path: str = "/answers"
    wrap: str = "%s"


def main() -> int:
    project = Path(sys.argv[1]).resolve()
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        return measure(project, Path(name))


def measure(project: Path, folder: Path) -> int:
    venv = folder / "venv"
    run("uv", "venv", "--quiet", "--seed", str(venv))
    python = str(venv / "bin/python")
    run("uv", "pip", "install", "--quiet", "--python", python, f"{TEMPLATE}[serve]")
    run(
        "uv",
        "run",
        "--quiet",
        "mlops",
        "bundle",
        "production",
        "--output",
        str(folder / "b"),
        at=project,
    )
    about = json.loads((folder / "b/about.json").read_text())
    row = about["golden"][0]["request"]
    for text, file in ((ECHO, "echo_app.py"), (FASTAPI, "fast_app.py"), (MLFLOW, "save.py")):
        (folder / file).write_text(text)
    mlops = str(venv / "bin/mlops")
    ours = Served(
        *("gatewright, log and metrics on", (mlops, "serve", "--bundle", str(folder / "b"))),
        folder,
    )
    echo = Served(
        "the same stack, a bare echo", (python, "-m", "uvicorn", "echo_app:app", *UVICORN), folder
    )
    with_them = [word for name in ("fastapi", *SERVER) for word in ("--with", name)]
    fast = Served(
        "FastAPI with scikit-learn",
        (
            "uv",
            "run",
            "--quiet",
            *with_them,
            "uvicorn",
            "--app-dir",
            str(folder),
            "fast_app:app",
            *UVICORN,
        ),
        project,
    )
    contenders = [echo, ours, fast]
    mlflow = saved_by_mlflow(project, folder)
    if mlflow:
        contenders.append(mlflow)
    lines = []
    found: dict[tuple[str, int, int], Load] = {}
    for rows, clients in ((1, 16), (1, 64), (1000, 16)):
        body = json.dumps(row) if rows == 1 else json.dumps([row] * rows)
        for served in contenders:
            with started(served) as port:
                load = asked(served, port, body, clients, folder)
            found[served.name, rows, clients] = load
            words = f"{load.rate:,.0f}", f"{1000 * load.p99:.1f} ms", f"{load.failed:,}"
            lines.append(f"| {served.name} | {rows:,} | {clients} | {' | '.join(words)} |")
            print(lines[-1], flush=True)
    return written(
        found, lines, ours, echo, mlflow, size_of(venv), small(ours), in_process(folder, python)
    )


def saved_by_mlflow(project: Path, folder: Path) -> Served | None:
    """The same model served by MLflow, where it installs beside the project's packages."""
    words = (
        "uv",
        "run",
        "--quiet",
        "--with",
        "mlflow",
        "python",
        str(folder / "save.py"),
        str(folder / "m"),
    )
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    if done.returncode:
        print(f"MLflow does not serve it: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    command = ("uv", "run", "--quiet", "--with", "mlflow", "mlflow", "models", "serve")
    more = ("--model-uri", str(folder / "m"), "--env-manager", "local")
    wrap = '{"dataframe_records": %s}'
    return Served("MLflow `models serve`", (*command, *more), project, "/invocations", wrap)


def run(*command: str, at: Path | None = None) -> str:
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def environment() -> dict[str, str]:
    return {n: v for n, v in os.environ.items() if n not in ("VIRTUAL_ENV", "PYTHONPATH")}


@contextmanager
def started(served: Served) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [*served.command, "--port", str(port)]
    with subprocess.Popen(
        command,
        cwd=served.folder,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    ) as process:
        try:
            wait(port, process)
            yield port
        finally:
            os.killpg(process.pid, 15)


def wait(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        if process.poll() is not None:
            raise SystemExit(f"{process.args} ended before it listened.")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=60).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.005)


def asked(served: Served, port: int, body: str, clients: int, folder: Path) -> Load:
    if served.path == "/invocations" and body.startswith("{"):
        body = f"[{body}]"
    script = folder / "post.lua"
    script.write_text(POST % (served.wrap % body))
    words = ("wrk", "-t1", f"-c{clients}", "--latency", "-s", str(script), "--timeout", "30s")
    url = f"http://127.0.0.1:{port}{served.path}"
    run(*words, "-d2s", url)  # warm
    said = run(*words, f"-d{SECONDS}s", url)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert p99
    seconds = float(p99[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1}[p99[2]]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Load(rate, seconds, int(failed[1]) if failed else 0)


def size_of(venv: Path) -> float:
    """MiB of the packages that a server needs."""
    (packages,) = venv.glob("lib/*/site-packages")
    seed = ("pip", "setuptools")
    files = [
        p
        for p in packages.rglob("*")
        if p.is_file() and not p.parts[len(packages.parts)].startswith(seed)
    ]
    return sum(path.stat().st_size for path in files) / 2**20


def small(ours: Served) -> tuple[float, float]:
    """Seconds from the start of the process to the first answer, the median; MiB it takes then."""
    seconds, memory = [], 0.0
    for _ in range(7):
        begin = time.perf_counter()
        with started(ours) as port:
            seconds.append(time.perf_counter() - begin)
            (pid,) = run("pgrep", "-f", f"serve.*--port {port}").split()[:1]
            status = Path(f"/proc/{pid}/status").read_text()
            memory = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    return statistics.median(seconds), memory


ONE = """
import sys, time
from pathlib import Path
from gatewright.serving.bundle import plain_request, read_bundle
from gatewright.forms.ask import Asker
from gatewright.forms.explain import Explainer
bundle = read_bundle(Path(sys.argv[1]))
asker, explainer = Asker(bundle.plan), Explainer(bundle.plan)
row = dict.fromkeys(bundle.plan.inputs) | plain_request(bundle.about.golden[0]["request"])
def best(call, count):
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(count):
            call(row)
        times.append((time.perf_counter() - begin) / count)
    return min(times)
print(best(asker.scores, 2000), best(explainer.explain, 5))
"""


def in_process(folder: Path, python: str) -> tuple[float, float]:
    answer, explanation = run(python, "-c", ONE, str(folder / "b")).split()
    return float(answer), float(explanation)


def written(
    found: dict[tuple[str, int, int], Load],
    lines: list[str],
    ours: Served,
    echo: Served,
    mlflow: Served | None,
    packages: float,
    small_: tuple[float, float],
    one: tuple[float, float],
) -> int:
    mine, bare = found[ours.name, 1, 16].rate, found[echo.name, 1, 16].rate
    beside = [
        (
            "of the echo's requests a second",
            f"{mine / bare:.0%}",
            "at least 50%",
            mine / bare >= 0.5,
        )
    ]
    if mlflow:
        times = mine / found[mlflow.name, 1, 16].rate
        beside.append(
            ("times MLflow's requests a second", f"{times:.0f}", "at least 100", times >= 100)
        )
    answer, explanation = one
    figures = [
        *beside,
        ("cold start, median of 7", f"{small_[0]:.2f} s", "under 1 s", small_[0] < 1),
        (
            "memory at its peak, after the start",
            f"{small_[1]:.0f} MiB",
            "under 80 MiB",
            small_[1] < 80,
        ),
        (
            "packages of the serving environment",
            f"{packages:.0f} MiB",
            "under 150 MiB",
            packages < 150,
        ),
        ("one row in process", f"{1000 * answer:.3f} ms", "under 0.1 ms", answer < 1e-4),
        ("one explanation in process", f"{1000 * explanation:.1f} ms", "", True),
    ]
    text = [
        "# How fast a version answers",
        "",
        f"By `benchmarks/serving.py`, on {os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}, all in one run; wrk shares the cores with what it asks. "
        "The model is the example's: gradient boosting, 100 trees.",
        "",
        "| | measured | target |",
        "|---|---|---|",
        *(f"| {name} | {value} | {target} |" for name, value, target, _ in figures),
        "",
        "| | rows a request | connections | requests a second | p99 | failed |",
        "|---|---|---|---|---|---|",
        *lines,
        "",
    ]
    if not mlflow:
        text += [
            "MLflow did not install beside the project's packages, or did not save the model.",
            "",
        ]
    (HERE / "serving.md").write_text("\n".join(text), encoding="utf-8")
    missed = [name for name, _, _, good in figures if not good]
    print("missed:", ", ".join(missed) or "nothing")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
