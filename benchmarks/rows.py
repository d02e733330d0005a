"""The whole gate at many test rows: what it takes, and its peak memory.

Runs in the environment of a generated project whose pipeline has run; prints JSON. The test set
stands there FACTOR times, moved by 400 days each time, so that no key stands twice.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gatewright.adapters.files import digest, read_text
from gatewright.contract.schema import read_contract
from gatewright.gate.inputs import Champion, GateInputs
from gatewright.gate.policy import read_policy
from gatewright.gate.verdict import judge
from gatewright.paths import BASELINE, MODEL, TEST, TRAIN
from gatewright.pipeline.dvc_lock import parse_lock
from gatewright.release.smoke_test import golden


def enlarge(factor: int, target: Path) -> None:
    rows = pd.read_parquet(TEST)
    with pq.ParquetWriter(target, pa.Table.from_pandas(rows, preserve_index=False).schema) as file:
        for number in range(factor):
            old = rows["scheduled_departure"]
            moved = (old + pd.Timedelta(days=400 * number)).astype(old.dtype)
            part = rows.assign(scheduled_departure=moved)
            file.write_table(pa.Table.from_pandas(part, preserve_index=False))


def gate(root: Path, folder: Path) -> dict[str, float]:
    """Judge the model against itself as its champion, with every check."""
    contract, policy = read_contract(root), read_policy(root, "production")
    lock = parse_lock(read_text(root / "dvc.lock"))
    lock = replace(lock, outs=lock.outs | {TEST: digest(folder / TEST, "md5")})
    champion = Champion("1.0.0", root / MODEL, contract, root / TRAIN, golden(root, contract))
    evidence = GateInputs(
        *(folder, contract, lock, champion, policy.sampling, folder / TEST),
        metric_names=policy.metric_names,
    )
    start = time.perf_counter()
    verdict = judge(policy, evidence)
    seconds = time.perf_counter() - start
    if unmeasured := [line for line in verdict.lines("refuse") if "could not be" in line]:
        sys.exit("\n".join(unmeasured))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # it counts in KiB
    return {"rows": len(evidence.test.need()), "seconds": seconds, "peak_mb": peak}


def main() -> None:
    root = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (MODEL, BASELINE, TRAIN):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, folder / path)
        made = subprocess.run([sys.executable, __file__, "enlarge", sys.argv[1], folder / TEST])
        made.check_returncode()
        print(json.dumps(gate(root, folder)))


if __name__ == "__main__":
    if sys.argv[1] == "enlarge":
        enlarge(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
