"""`mlops search`: try parameters on folds of the training rows, and compare the best with today's.

Optuna (Akiba et al. 2019) chooses what to try next and gives up on what is behind after its first
folds. What was tried stands in a journal beside DVC's own files, so that a search goes on where it
was stopped, and several processes share it.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gatewright.adapters.files import digest, read_text, text_digest, write_whole
from gatewright.contract.schema import Contract, read_contract
from gatewright.errors import Refused, Undecided
from gatewright.evaluation.bootstrap import Estimate, measure
from gatewright.evaluation.groups import groups_of
from gatewright.evaluation.intervals import reach
from gatewright.evaluation.metrics import SHOWN, Metric, find_metric, metrics_of, no_metric
from gatewright.evaluation.predictions import Answers, answer, read_rows, truth
from gatewright.paths import TRAIN
from gatewright.pipeline.pipeline_file import parse_pipeline
from gatewright.tuning.folds import Fold, folds_of
from gatewright.tuning.space import PARAMS, Search, get, parse_search, rewritten, with_values

JOURNAL = ".dvc/tmp/search.journal"
NOW, BEST = "today's", "best"


@dataclass(frozen=True)
class Found:
    """What a search came to. gain: of the best on today's parameters, in the metric's units."""

    metric: str
    tried: int
    stopped_early: int
    values: dict[str, Any]
    before: dict[str, Any]
    now: Estimate
    best: Estimate
    gain: Estimate

    @property
    def is_better(self) -> bool:
        return bool(self.values) and self.gain.low > 0

    @property
    def sentence(self) -> str:
        interval = f"{self.gain.value:.4f} [{self.gain.low:.4f}, {self.gain.high:.4f}]"
        of = f"of {self.tried} tried, {self.stopped_early} of them given up early"
        if self.is_better:
            return f"Better: {self.metric} gains {interval} ({of})."
        return f"Nothing better was found: {self.metric} gains {interval} ({of})."


def search(
    root: Path, trials: int | None, jobs: int, say: Callable[[str], None], write: bool = True
) -> Found:
    """Try parameters; where the best is proven better, write it into params.yaml.

    The interval of the gain knows how many were tried (Bonferroni). No test row is asked. With one
    process the same search tries the same; of several, which comes first is the machine's.
    """
    work = _Work.of(root)
    count = trials or work.search.trials
    start = len(work.study().trials)
    others = [_start(root, count // jobs, start + part) for part in range(1, jobs)]
    work.run(count - sum(count // jobs for _ in others), say, seed=start)
    for other in others:
        if other.wait():
            raise Undecided(
                "A process of the search failed; its message stands above. Run it again."
            )
    say(f"{len(work.study().trials) - start} tried, {len(work.study().trials)} with those before")
    found = work.compared()
    if write and found.is_better:
        text = read_text(root / PARAMS)
        write_whole(root / PARAMS, rewritten(text, found.values))
    return found


def take_part(root: Path, trials: int, seed: int) -> None:
    """Try some, as one process of several."""
    _Work.of(root).run(trials, lambda _: None, seed)


def _start(root: Path, trials: int, seed: int) -> subprocess.Popen[bytes]:
    part = ("--take-part", str(trials), str(seed))
    command = [sys.executable, "-m", "gatewright", "search", *part]
    return subprocess.Popen(command, cwd=root)


@dataclass(frozen=True)
class _Work:
    """Rows, folds and the team's own code."""

    root: Path
    contract: Contract
    search: Search
    train: dict[str, Any]
    rows: pd.DataFrame
    folds: list[Fold]
    metric: Metric
    build: Callable[[dict[str, Any], dict[str, Any]], Any]
    plain: dict[str, Any]  # the contract, as the team's code reads it

    @classmethod
    def of(cls, root: Path) -> _Work:
        from gatewright.adapters.strict_yaml import parse_yaml

        contract = read_contract(root)
        wanted, train = parse_search(read_text(root / PARAMS))
        rows = read_rows(root / TRAIN, contract)
        known = metrics_of(contract)
        name = wanted.metric or SHOWN[contract.target.type][0]
        if (metric := find_metric(name, contract, known)) is None:
            raise Refused(f"{PARAMS}: search.metric: {no_metric(name, contract, known)}")
        plain = parse_yaml(read_text(root / "contract.yaml"), "contract.yaml")
        folds = folds_of(rows, contract, wanted.folds)
        return cls(root, contract, wanted, train, rows, folds, metric, _builder(root), plain)

    def study(self, seed: int = 0) -> Any:
        """What was tried on these rows, of this space: another one begins anew."""
        try:
            import optuna
        except ImportError as error:
            raise Undecided(
                "What searches is not installed (optuna). Run `uv add --dev 'gatewright[search]'`, "
                "and again."
            ) from error
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path = self.root / JOURNAL
        path.parent.mkdir(parents=True, exist_ok=True)
        fixed = {k: v for k, v in self.train.items() if not isinstance(v, dict)}
        about = repr((self.search.space, self.search.folds, self.metric.name, fixed))
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=f"{digest(self.root / TRAIN)[:12]}-{text_digest(about)[:12]}",
            direction="maximize" if self.metric.higher_is_better else "minimize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            load_if_exists=True,
        )

    def run(self, trials: int, say: Callable[[str], None], seed: int) -> None:
        study = self.study(seed)
        if not study.trials:  # today's parameters are what others are held against
            study.enqueue_trial({path: get(self.train, path) for path in self.search.space})

        def told(study: Any, trial: Any) -> None:
            value = "given up" if trial.value is None else f"{trial.value:.4f}"
            best = [t.value for t in study.trials if t.value is not None]
            top = (max if self.metric.higher_is_better else min)(best) if best else float("nan")
            say(f"{trial.number + 1}: {self.metric.name} {value}, best {top:.4f}")

        study.optimize(self._try, n_trials=trials, callbacks=[told])

    def _try(self, trial: Any) -> float:
        import optuna

        values = {path: r.draw(trial, path) for path, r in self.search.space.items()}
        scores = []
        for number, fold in enumerate(self.folds):
            y, said = self._asked(values, [fold])
            measured = measure(y, {BEST: said}, [self.metric], resamples=2)
            scores.append(measured.estimate(self.metric.name, BEST).value)
            trial.report(float(np.mean(scores)), number)
            if number + 1 < len(self.folds) and trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(scores))

    def _asked(self, values: dict[str, Any], folds: list[Fold]) -> tuple[Any, Answers]:
        """What came true and the answers on rows that the models did not learn from."""
        settings, features = with_values(self.train, values), self.contract.features
        target, truths, scores, labels = self.contract.target.name, [], [], []
        for learn, ask in folds:
            known, asked = self.rows.iloc[learn], self.rows.iloc[ask]
            model = self.build(settings, self.plain).fit(known[features], known[target])
            said = answer(model, asked, self.contract, "model that is tried")
            truths.append(truth(asked, self.contract))
            scores.append(said.scores)
            labels.append(said.labels)
        return np.concatenate(truths), Answers(np.concatenate(scores), np.concatenate(labels))

    def compared(self) -> Found:
        """Today's parameters and the best on the same rows, with an interval for so many tries."""
        trials = self.study().trials
        done = [trial for trial in trials if trial.value is not None]
        if not done:
            raise Undecided("No trial came to its end, so nothing is known. Run it again.")
        best = (max if self.metric.higher_is_better else min)(done, key=lambda t: t.value)
        before = {path: get(self.train, path) for path in self.search.space}
        values = {p: v for p, v in _rounded(best.params).items() if v != before[p]}
        y, now = self._asked(before, self.folds)
        _, then = self._asked({**before, **values}, self.folds)
        asked = np.concatenate([ask for _, ask in self.folds])
        measured = measure(
            *(y, {NOW: now, BEST: then}, [self.metric]),
            groups=groups_of(self.rows.iloc[asked], self.contract),
            reach=reach(0.95, len(trials)),
        )
        name = self.metric.name
        return Found(
            metric=name,
            tried=len(trials),
            stopped_early=sum(trial.value is None for trial in trials),
            values=values,
            before={path: before[path] for path in values},
            now=measured.estimate(name, NOW),
            best=measured.estimate(name, BEST),
            gain=measured.gain(name, BEST, NOW),
        )


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {p: float(f"{v:.4g}") if isinstance(v, float) else v for p, v in values.items()}


def _builder(root: Path) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    """`build_model` of the module that the stage `train` runs: the team's own code."""
    stages = parse_pipeline(read_text(root / "dvc.yaml"))
    found = [stage.cmd for stage in stages if stage.name == "train"]
    commands = [line for cmd in found for line in ([cmd] if isinstance(cmd, str) else cmd)]
    names = [line.split()[2] for line in commands if line.startswith("mlops stage ")]
    if not names:
        raise Refused("dvc.yaml: the stage train runs no `mlops stage PACKAGE.train`.")
    source = str((root / "src").resolve())
    if source not in sys.path:
        sys.path.insert(0, source)
    module = importlib.import_module(names[0])
    if not hasattr(module, "build_model"):
        raise Refused(f"{names[0]} has no function build_model(settings, contract).")
    build: Callable[[dict[str, Any], dict[str, Any]], Any] = module.build_model
    return build
