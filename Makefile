# Two commands to know: `make demo` (no torch) and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Listed with its own name so that pip never replaces the CPU build by a larger one.
TORCH ?= torch==2.13.0

.PHONY: demo test test-cluster check bench clean

demo: .venv/demo
	.venv/bin/mezzotint upscale examples/photos/*.png -o out/upscaled --overwrite
	.venv/bin/mezzotint generate -n 80 --label all -o out/clothes.png --overwrite
	@echo "Look at out/upscaled and out/clothes.png"

test: .venv/dev
	.venv/bin/pytest -n 2 -m "not slow and not browser and not gpu"

test-cluster: .venv/dev
	.venv/bin/pip install --quiet --disable-pip-version-check $(TORCH) -e ".[cluster]"
	.venv/bin/pytest tests/cli/test_cluster_ray.py

check: .venv/dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/dev
	.venv/bin/mezzotint bench

clean:
	rm -rf .venv out

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/pip pyproject.toml
	.venv/bin/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/dev: .venv/bin/pip pyproject.toml
	.venv/bin/pip install --quiet --disable-pip-version-check $(TORCH) -e ".[train,onnx,video,formats,test]"
	touch $@ .venv/demo
