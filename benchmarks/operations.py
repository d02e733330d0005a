"""How often the check `operations` stops a model that is the one that is live.

    python benchmarks/operations.py [PAIRS]

Runs in the environment of a generated project whose pipeline has run; prints JSON. Meanwhile every
core is kept busy by something else, now and then, so that the machine's mood changes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from gatewright.adapters.model_file import allowed_types
from gatewright.contract.schema import read_contract
from gatewright.evaluation.predictions import read_rows
from gatewright.gate.checks import OperationsCheck
from gatewright.paths import MODEL, TEST
from gatewright.registry.champion import Champion

PAIRS = 200
# Works for up to a second, rests for up to half of one, by a seed.
BUSY = """
import random, sys, time
draw = random.Random(int(sys.argv[1]))
while True:
    end = time.monotonic() + draw.random()
    while time.monotonic() < end:
        sum(range(1000))
    time.sleep(draw.random() / 2)
"""


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    root = Path.cwd()
    contract = read_contract(root)
    rows = read_rows(root / TEST, contract)
    champion = Champion("1.0.0", root / MODEL, contract)
    settings = OperationsCheck.Settings()
    command = [sys.executable, "-c", BUSY]
    busy = [subprocess.Popen([*command, str(seed)]) for seed in range(os.cpu_count() or 1)]
    try:
        found = [
            list(
                OperationsCheck.check(
                    settings, contract, rows, root / MODEL, allowed_types(), champion
                )
            )
            for _ in range(pairs)
        ]
    finally:
        for process in busy:
            process.kill()
    stopped = sum(any(f.status in ("refuse", "unsure") for f in findings) for findings in found)
    warned = Counter(f.subject for findings in found for f in findings if f.status == "warn")
    print(json.dumps({"pairs": pairs, "stopped": stopped, "warned": warned, "busy": len(busy)}))


if __name__ == "__main__":
    main()
