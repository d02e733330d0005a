"""Where a project keeps the files that the library reads and writes, seen from its root."""

MODEL = "model/model.skops"
BASELINE = "model/baseline.skops"
TRAIN = "data/split/train.parquet"
TEST = "data/split/test.parquet"
PLAN = "forms/plan.json"
