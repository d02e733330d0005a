"""What may be tried, on which rows, and what is written of it."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from parcels import CONTRACT, Project, make_rows

from gatewright.contract.schema import parse_contract
from gatewright.errors import Refused
from gatewright.tuning.experiments import experiments, words
from gatewright.tuning.folds import folds_of
from gatewright.tuning.space import parse_search, rewritten, with_values

PARAMS = """\
split: {share: 0.2}
train:
  model: forest # or another
  forest:
    trees: 100 # more are slower
    depth: null
    rate: 0.1
search:
  trials: 5
  space:
    forest.trees: {low: 10, high: 500, log: true, whole: true}
    forest.rate: {low: 0.01, high: 0.5}
    model: {values: [forest, other]}
"""


def test_what_may_be_tried_is_read() -> None:
    search, train = parse_search(PARAMS)
    assert (search.trials, search.folds, search.metric) == (5, 3, None)
    assert with_values(train, {"forest.rate": 0.2})["forest"]["rate"] == 0.2
    assert train["forest"]["rate"] == 0.1, "nothing else is changed"


WRONG = {
    "no section": ("search:\n", "other:\n", "has no section `search`"),
    "nothing to try": ("forest.trees: {", "forest.leaves: {", "forest.leaves, which `train` does"),
    "a range backwards": ("low: 0.01, high: 0.5", "low: 1, high: 0.5", "low must be below high"),
    "a range and values": ("values: [forest", "low: 1, values: [forest", "either low and high"),
    "neither": ("{low: 0.01, high: 0.5}", "{}", "either low and high, or values"),
    "orders of magnitude from 0": ("low: 10, high", "low: 0, high", "need a low above 0"),
    "no trial": ("trials: 5", "trials: 0", "line 9: trials"),
    "an unknown setting": ("trials: 5", "tries: 5", "line 9: tries"),
}


@pytest.mark.parametrize(("old", "new", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_tried_is_refused(old: str, new: str, said: str) -> None:
    assert old in PARAMS
    with pytest.raises(Refused, match=said):
        parse_search(PARAMS.replace(old, new, 1))


def test_values_are_written_and_nothing_else() -> None:
    text = rewritten(PARAMS, {"forest.trees": 321, "model": "other"})
    assert text == PARAMS.replace("model: forest #", "model: other #").replace(
        "trees: 100 #", "trees: 321 #"
    )
    with pytest.raises(Refused, match="does not stand on a line of its own"):
        rewritten(
            PARAMS.replace(
                "  forest:\n    trees: 100 # more are slower\n    depth: null\n    rate: 0.1\n",
                "  forest: {trees: 100, rate: 0.1}\n",
            ),
            {"forest.trees": 3},
        )


def contract_with(**more: object) -> object:
    content = yaml.safe_load(CONTRACT) | more
    return parse_contract(yaml.safe_dump(content))


def test_each_fold_asks_what_came_after_what_it_learns() -> None:
    rows = make_rows(400).sample(frac=1, random_state=0).reset_index(drop=True)
    contract = contract_with()
    assert contract.time == "sent"  # type: ignore[attr-defined]
    folds = folds_of(rows, contract, 3)  # type: ignore[arg-type]
    assert len(folds) == 3
    for learn, ask in folds:
        assert not set(learn) & set(ask)
        assert rows["sent"].iloc[learn].max() <= rows["sent"].iloc[ask].min()


def test_without_a_time_each_row_is_asked_once_and_groups_stay_whole() -> None:
    rows = make_rows(400)
    alone = folds_of(rows, contract_with(time=None), 4)  # type: ignore[arg-type]
    asked = np.concatenate([ask for _, ask in alone])
    assert sorted(asked) == list(range(400))
    grouped = contract_with(time=None, group="shop")
    for learn, ask in folds_of(rows, grouped, 2):  # type: ignore[arg-type]
        shops = rows["shop"]
        assert not set(shops.iloc[learn]) & set(shops.iloc[ask])


def test_a_fold_does_not_hang_on_the_other_rows() -> None:
    rows = make_rows(400)
    contract = contract_with(time=None)
    few = folds_of(rows.head(200), contract, 3)  # type: ignore[arg-type]
    all_of_them = folds_of(rows, contract, 3)  # type: ignore[arg-type]
    for (_, here), (_, there) in zip(few, all_of_them, strict=True):
        assert set(here) == {at for at in there if at < 200}


def test_experiments_say_what_changed_and_what_came_of_it(second: Project) -> None:
    found = experiments(second.root)
    assert found[0].metrics["roc_auc"][0] > 0.5
    low, high = found[0].metrics["roc_auc"][1:]
    assert low < found[0].metrics["roc_auc"][0] < high
    assert found[0].changes == {"train.C": (found[1].changes["train.C"][1], 0.5)} or any(
        "train.C" in one.changes for one in found
    )
    shown = second.mlops("experiments").out
    assert found[0].commit[:9] in shown
    assert "C: " in shown
    assert second.ask("experiments")[0]["commit"] == found[0].commit
    picture = second.root.parent / "tried.svg"
    second.mlops("experiments", "--plot", str(picture))
    assert picture.read_text().count("<svg") == 1


def test_many_changes_are_counted() -> None:
    some = {f"train.a{n}": (n, n + 1) for n in range(5)}
    assert words(some) == "a0: 0 -> 1, a1: 1 -> 2, a2: 2 -> 3 and 2 more"
    assert words({f"p{n}": (0, n) for n in range(20)}) == "20 parameters"


def test_no_commit_is_no_experiment(trained: Project) -> None:
    trained.git("checkout", "--quiet", "--orphan", "empty")
    trained.git("rm", "-r", "--quiet", "--cached", ".")
    (trained.root / "x").write_text("x")
    trained.git("add", "--force", "x")
    trained.git("commit", "--quiet", "--no-verify", "-m", "Nothing")
    with pytest.raises(Refused, match="No commit has parameters or metrics"):
        experiments(trained.root)
