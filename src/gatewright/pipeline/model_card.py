"""Stage `card`: the model card (Mitchell et al. 2019) and its plots.

The words that no machine knows, what the model is for and what it must not be used for, come
from docs/model-card-words.md, which the team writes.
"""

import io
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gatewright.adapters.files import digest, read_text, write_whole
from gatewright.adapters.markdown import cell
from gatewright.adapters.tables import read_parquet
from gatewright.contract.schema import Contract, read_contract
from gatewright.evaluation.metrics import SHOWN, metrics_of
from gatewright.evaluation.predictions import Floats
from gatewright.paths import MODEL, TEST, TRAIN
from gatewright.pipeline.evaluate import METRICS_FILE, PREDICTIONS
from gatewright.pipeline.source import WORDS

CARD = "reports/model-card.md"
PLOTS = "reports/plots"
COLOURS = {"candidate": "#1f5fa8", "baseline": "#b0762a"}


def card(root: Path) -> None:
    """Write reports/model-card.md and reports/plots/*.svg."""
    report = json.loads(read_text(root / METRICS_FILE))
    predictions = read_parquet(root / PREDICTIONS)
    _plots(predictions, read_contract(root), root / PLOTS)
    write_whole(root / CARD, _text(root, report))


def _text(root: Path, report: dict[str, Any]) -> str:
    contract = read_contract(root)
    trained, tested = (_extent(root / path, contract) for path in (TRAIN, TEST))
    packages = ("scikit-learn", "pandas", "numpy", "skops")
    kind, metrics = contract.target.type, metrics_of(contract)
    first = metrics[SHOWN[kind][0]]
    lines = [
        f"# Model card: {contract.name}",
        "",
        contract.description,
        "",
        f"It answers with **{contract.prediction.name}**: {contract.prediction.description}",
        "",
        read_text(root / WORDS).strip(),
        "",
        "## Data",
        "",
        f"- Trained on {trained}.",
        f"- Tested on {tested} that it never saw.",
        f"- {contract.target.description}{_share(report)}",
        "",
        "## How good it is",
        "",
        "Each figure with its 95% interval (paired bootstrap over the test rows"
        f"{_whole(contract)}). The baseline is the rule that a person would use without a model.",
        "",
        "| metric | better | model | baseline | gain |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, entry in report["metrics"].items():
        metric = metrics[name]
        better = "higher" if metric.higher_is_better else "lower"
        shown = " | ".join(_interval(entry[key]) for key in ("candidate", "baseline", "gain"))
        lines.append(f"| {metric.title} | {better} | {shown} |")
    lines += [
        "",
        " ".join(f"![{words}](plots/{name}.svg)" for name, words in PLOTTED[kind].items()),
        "",
        "## Where it is better and worse",
        "",
        f"| slice | value | rows | {first.title} |",
        "| --- | --- | --- | --- |",
    ]
    for column, values in report["slices"].items():
        for value, entry in values.items():
            known = first.name in entry
            figure = _interval(entry[first.name]["candidate"]) if known else "too few rows"
            shown = f"{cell(column)} | {cell(value)} | {entry['rows']:,} | {figure}"
            lines.append(f"| {shown} |")
    lines += [
        "",
        "## Identity",
        "",
        f"- Model file: sha256 `{digest(root / MODEL)}`",
        f"- Test set: md5 `{digest(root / TEST, 'md5')}`",
        "- Made with " + ", ".join(f"{name} {version(name)}" for name in packages),
        "",
    ]
    return "\n".join(lines)


def _extent(path: Path, contract: Contract) -> str:
    """How many rows a file has and, if the contract names a time, from when to when."""
    time = contract.time
    rows = read_parquet(path, columns=[time or contract.key[0]])
    said = f"{len(rows):,} rows"
    if time:
        first, last = rows[time].min(), rows[time].max()
        said += f" from {first.day} {first:%B %Y} to {last.day} {last:%B %Y}"
    return said


def _whole(contract: Contract) -> str:
    return f", each {contract.group} whole" if contract.group else ""


def _interval(entry: dict[str, float]) -> str:
    return f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"


def _share(report: dict[str, Any]) -> str:
    return f" This holds for {report['share']:.1%} of the test rows." if "share" in report else ""


def _plots(predictions: pd.DataFrame, contract: Contract, folder: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("svg")
    # Text as text and a fixed salt: the same data gives the same bytes.
    mpl.rcParams.update({"svg.hashsalt": "gatewright", "svg.fonttype": "none", "font.size": 9})
    kind = contract.target.type
    folder.mkdir(parents=True, exist_ok=True)
    for name in PLOTTED[kind]:
        figure = Figure(figsize=(3.6, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        for model, colour in COLOURS.items():
            DRAWN[name](axes, *_answered(predictions, model, contract), model, colour)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
        write_whole(folder / f"{name}.svg", drawn.getvalue())


def _answered(predictions: pd.DataFrame, model: str, contract: Contract) -> tuple[Any, Floats]:
    """What came true and the score: for several classes, of the likeliest and if it was right."""
    truth = predictions["truth"].to_numpy()
    if contract.target.type != "multiclass":
        return truth, predictions[model].to_numpy(dtype=float)
    scores = predictions[[f"{model} {value}" for value in contract.classes]].to_numpy()
    likeliest = np.array(contract.classes)[scores.argmax(axis=1)]
    return likeliest == truth, scores.max(axis=1)


def _roc(axes: Any, truth: Any, scores: Floats, model: str, colour: str) -> None:
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(truth, scores)
    grid = np.linspace(0, 1, 101)
    axes.plot(grid, np.interp(grid, false, true), color=colour, label=model)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")


def _calibration(axes: Any, truth: Any, scores: Floats, model: str, colour: str) -> None:
    from sklearn.calibration import calibration_curve

    happened, predicted = calibration_curve(truth, scores, n_bins=10, strategy="quantile")
    axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=0.8)
    axes.plot(predicted, happened, marker="o", markersize=3, color=colour, label=model)
    axes.set(xlabel="predicted probability", ylabel="observed share", title="Calibration")


def _scores(axes: Any, truth: Any, scores: Floats, model: str, colour: str) -> None:
    heights, edges = np.histogram(scores, bins=40, range=(0, 1))
    axes.stairs(heights / len(scores), edges, color=colour, label=model)
    axes.set(xlabel="predicted probability", ylabel="share of rows", title="Scores")


def _predicted(axes: Any, truth: Any, scores: Floats, model: str, colour: str) -> None:
    """The mean of what came true in twenty bins of the prediction, of about as many rows each."""
    order = np.argsort(scores, kind="stable")
    bins = [part for part in np.array_split(order, 20) if len(part)]
    means = np.array([(scores[part].mean(), truth[part].mean()) for part in bins])
    axes.plot(
        [means.min(), means.max()], [means.min(), means.max()], color="#cccccc", linewidth=0.8
    )
    axes.plot(means[:, 0], means[:, 1], marker="o", markersize=3, color=colour, label=model)
    axes.set(xlabel="predicted", ylabel="came true, on average", title="Prediction")


def _errors(axes: Any, truth: Any, scores: Floats, model: str, colour: str) -> None:
    errors = truth - scores
    low, high = np.quantile(errors, [0.005, 0.995])
    heights, edges = np.histogram(errors, bins=40, range=(low, high + 1e-9))
    axes.stairs(heights / len(errors), edges, color=colour, label=model)
    axes.set(xlabel="came true - predicted", ylabel="share of rows", title="Errors")


DRAWN = {
    "roc": _roc,
    "calibration": _calibration,
    "scores": _scores,
    "predicted": _predicted,
    "errors": _errors,
}
PLOTTED: dict[str, dict[str, str]] = {
    "binary": {"roc": "ROC curve", "calibration": "Calibration", "scores": "Scores"},
    "multiclass": {"calibration": "Calibration of the likeliest class", "scores": "Its score"},
    "regression": {"predicted": "Prediction", "errors": "Errors"},
}
