# Two commands do everything; both are thin over `uv run`, which also works without make.
#   make demo    generate a project and walk a model through it
#   make test    test the template
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: demo transcript test test-fast lint benchmark clean

demo: $(UV)
	$(UV) run --quiet scripts/demo.py --check

transcript: $(UV)
	$(UV) run --quiet scripts/demo.py --record

test: $(UV) lint
	$(UV) run --quiet pytest -n 2 --dist worksteal

test-fast: $(UV)
	$(UV) run --quiet pytest -n 2 --dist worksteal -m "not slow"

lint: $(UV)
	$(UV) run --quiet pre-commit run --all-files

benchmark: $(UV)
	$(UV) run --quiet --script benchmarks/run.py

clean:
	rm -rf .demo .tools .venv

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet uv
