# Every target sets up what it needs: on a fresh machine with Python >= 3.11 and make, `make serve` is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install serve test lint bench bench-devices bench-gpu bench-anomaly bench-inpainting bench-tables lock clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml client/pyproject.toml requirements.lock requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . --editable client
	touch $@

serve: install
	$(BIN)/sluice serve

# Two workers, each with one thread for an operation: threads of two workers that spin for each other on two cores make
# the suite several times slower. The tests of a file stay together: some share a service, which takes seconds to start.
# It ends with the coverage, whose floor is in pyproject.toml.
test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov --cov-report term

# The long form of the tests that try to break the service, see docs/reliability.md. Wants a quiet machine.
.PHONY: test-reliability
test-reliability: install
	SLUICE_RELIABILITY=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/reliability -o timeout=900 -rs --durations 10

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Sluice beside its peers; each gets an environment in bench/.envs the first time. Wants wrk, and a quiet machine.
bench: install
	$(BIN)/python -m bench.side_by_side.environments
	$(BIN)/python -m bench.side_by_side --into docs/benchmarks.md

# Two device processes beside one. Wants wrk, two CPUs and a quiet machine.
bench-devices: install
	$(BIN)/python -m bench.devices --into docs/benchmarks.md

# DATA=DIR is where the original files lie; without it they are downloaded. The figures go into the page.
bench-anomaly: install
	$(BIN)/python -m bench.anomaly $(if $(DATA),--data-dir $(DATA)) --into docs/anomaly.md

# What a GPU gives, in less than nine minutes. DATA as below; the figures are kept in build/gpu.json as they come.
bench-gpu: install
	$(BIN)/python -m bench.gpu $(if $(DATA),--data-dir $(DATA)) --json build/gpu.json --into docs/gpu.md

# Verdicts on twenty real tables beside nine other detectors, which get an environment in bench/.envs the first time.
# About half an hour on one core. What is measured is kept in build/tables: the same command goes on after a stop.
bench-tables: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'scikit-learn>=1.6'
	$(BIN)/python -m bench.tables --into docs/tables.md

# Inpainting with every model of pictures that ships, and how fast it is: an hour and a half. DATA as below.
bench-inpainting: install
	$(BIN)/python -m bench.inpainting_speed --data-dir $(DATA) --into docs/inpainting.md
	$(BIN)/python -m bench.inpainting --data-dir $(DATA) --model mnist-nice --into docs/inpainting.md
	$(BIN)/python -m bench.inpainting --data-dir $(DATA) --model mnist --several 5 --picture docs/inpainting.png --into docs/inpainting.md
	$(BIN)/python -m bench.inpainting --data-dir $(DATA) --model fashion-mnist --pictures 50 --several 5 --into docs/inpainting.md

# What maps of where a picture is strange find, and what they cost. Wants a quiet machine for the time.
.PHONY: bench-maps
bench-maps: install
	$(BIN)/python -m bench.maps $(if $(DATA),--data-dir $(DATA)) --into docs/maps.md

# 100,000 rows through the Python client, beside npy bodies that are sent by hand. Wants a quiet machine.
.PHONY: bench-client
bench-client: install
	$(BIN)/python -m bench.client --into docs/client.md

# Every preset in small, against the line that it states. DATA is a folder with the original files of the data sets;
# without one they are downloaded.
DATA ?= $(firstword $(wildcard data ../shared/data))

.PHONY: results-smoke
results-smoke: install
	$(BIN)/python -m trainer.commands.smoke $(if $(DATA),--data-dir $(DATA))

# The locks are what a resolver picks for pyproject.toml today; they name versions only, no index and no host. The CPU
# build's local version label is cut, so that each machine gets the build that its own index offers. torch is held.
lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet torch==2.13.0 --editable '.[train]'
	$(VENV)-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	$(VENV)-lock/bin/pip install --quiet --editable '.[train,dev]'
	echo '-r requirements.lock' > requirements-dev.lock
	$(VENV)-lock/bin/pip freeze --all --exclude pip --exclude wheel --exclude-editable | sed 's/+cpu$$//' | grep -vxFf requirements.lock >> requirements-dev.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(VENV)-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* build *.egg-info client/build client/*.egg-info

# An engine is brought up for the while where there is none and tests/containers/with-engine.sh can.
.PHONY: lint-containers test-containers

lint-containers: $(VENV)-containers/.installed
	tests/containers/with-engine.sh tests/containers/lint.sh $(VENV)-containers/bin

test-containers: install
	SLUICE_TEST_CONTAINERS=1 tests/containers/with-engine.sh $(BIN)/python -m pytest tests/containers -o timeout=900 -rs -vv --durations=10

$(VENV)-containers/.installed: tests/containers/lint-requirements.txt
	$(PYTHON) -m venv $(VENV)-containers
	$(VENV)-containers/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
