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
# COVERAGE=1 ends it with the coverage, whose floor is in pyproject.toml: following every line costs a quarter more time.
# Bytecode is written even where the environment forbids it, as images with Python do: without it each worker prepares
# every test file again, and each process that a test starts compiles all of Sluice.
test test-reliability test-scale: export PYTHONDONTWRITEBYTECODE =
test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(if $(COVERAGE),--cov --cov-report term)

# The long form of the tests that try to break the service, see docs/reliability.md. Wants a quiet machine. What it
# counts goes to build/reliability.json, from where reliability-figures puts it into the page. SHARE=0.1 does a tenth.
# Proofs in which no time is measured run two at once, and then the others, each alone. Both parts run to their end.
TOGETHER := $(addprefix tests/reliability/,fuzz test_training_killed.py test_publishing.py test_neighbours.py \
  test_checkpoints.py test_schemas.py)
PROVE = SLUICE_RELIABILITY=1 SLUICE_RELIABILITY_FIGURES=build/reliability.json SLUICE_RELIABILITY_SHARE=$(or $(SHARE),1) \
  OMP_NUM_THREADS=1 $(BIN)/python -m pytest -o timeout=900 -rs --durations 10

.PHONY: test-reliability reliability-figures fuzz
test-reliability: install
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3'  # without it nothing is fuzzed
	rm -f build/reliability.json
	failed=0; \
	$(PROVE) --numprocesses 2 --dist loadfile $(TOGETHER) || failed=1; \
	$(PROVE) tests/reliability $(TOGETHER:%=--ignore=%) || failed=1; \
	exit $$failed

reliability-figures: install
	$(BIN)/python -m tests.reliability.figures --into docs/reliability.md

# Each parser of bodies against inputs that its coverage suggests, for so many minutes.
MINUTES ?= 10
fuzz: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3'
	$(BIN)/python -m tests.reliability.fuzz --minutes $(MINUTES)

# What goes beyond one machine, in its long form: bulk runs that are killed, Ray, an S3 server, manifests, the simulation.
# Two processes share the work, each with a half of the contract through Ray, which takes longest. Then the simulation,
# which is compared with times that are measured, alone.
SCALE = SLUICE_SCALE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -o timeout=900 -rs --durations 20
CONTRACT := tests/scale/test_ray_contract.py::test_the_contract_holds_through_rays_proxy[first]
RAY := tests/scale/test_ray.py tests/scale/test_ray_serve.py
SIMULATED := tests/scale/test_simulation_check.py
.PHONY: test-scale
test-scale: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'ray[data,serve]>=2.60,<3'
	failed=0; \
	$(SCALE) '$(CONTRACT)' $(RAY) tests/service/ray_serve & first=$$!; \
	$(SCALE) --deselect '$(CONTRACT)' $(patsubst %,--ignore=%,$(RAY) $(SIMULATED)) tests/scale \
	  tests/service/offline/bulk tests/model_store/remote tests/service/test_object_store.py \
	  tests/docker/test_kubernetes.py tests/bench/scaling tests/trainer/run/test_ranks.py \
	  tests/trainer/run/test_run_directory.py || failed=1; \
	wait $$first || failed=1; \
	$(SCALE) $(SIMULATED) || failed=1; \
	exit $$failed

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Bulk runs beside a bare loop, Ray's proxy beside `sluice serve`, the simulation beside a replica. Want a quiet machine.
.PHONY: bench-bulk bench-ray-serve bench-scaling
bench-ray-serve: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'ray[data,serve]>=2.60,<3'
	$(BIN)/python -m bench.ray_serve --into docs/ray.md

bench-bulk: install
	$(BIN)/python -m bench.bulk --into docs/bulk.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'ray[data,serve]>=2.60,<3'
	$(BIN)/python -m bench.bulk_ray --into docs/bulk.md

bench-scaling: install
	$(BIN)/python -m bench.scaling measure
	$(BIN)/python -m bench.scaling check --into docs/scaling.md

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
# About two hours on one core. What is measured is kept in build/tables: the same command goes on after a stop.
bench-tables: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'scikit-learn>=1.6'
	$(BIN)/python -m bench.tables --into docs/tables.md
	$(BIN)/python -m bench.tables.large --minutes 10 --into docs/tables.md

# Inpainting with the models of digits and clothes, and how fast it is: an hour and a half. DATA=DIR is where the
# original files lie.
bench-inpainting: DATA_DIR = $(or $(DATA),$(error DATA=DIR names the folder with the original files))
bench-inpainting: install
	$(BIN)/python -m bench.inpainting_speed --data-dir $(DATA_DIR) --into docs/inpainting.md
	$(BIN)/python -m bench.inpainting --data-dir $(DATA_DIR) --model mnist-nice --into docs/inpainting.md
	$(BIN)/python -m bench.inpainting --data-dir $(DATA_DIR) --model mnist --several 5 --picture docs/inpainting.png --into docs/inpainting.md
	$(BIN)/python -m bench.inpainting --data-dir $(DATA_DIR) --model fashion-mnist --pictures 50 --several 5 --into docs/inpainting.md

# What maps of where a picture is strange find, and what they cost. Wants a quiet machine for the time.
.PHONY: bench-maps
bench-maps: install
	$(BIN)/python -m bench.maps $(if $(DATA),--data-dir $(DATA)) --into docs/maps.md

# False alarms of the martingales that watch for drift, and how soon they notice a change: half an hour. DATA as above.
.PHONY: bench-drift
bench-drift: install
	$(BIN)/python -m bench.drift $(if $(DATA),--data-dir $(DATA)) --into docs/drift.md

# Faults in surfaces, found by models that are trained here: less than an hour of one core. A run that was stopped goes on;
# SURFACES="brick grass" SIDES="64 128" STEPS=300 choose what is measured.
.PHONY: bench-pictures
bench-pictures: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'scikit-image>=0.25'
	$(BIN)/python -m bench.pictures $(SURFACES:%=--surface %) $(SIDES:%=--side %) $(STEPS:%=--steps %) --into docs/pictures.md

# 100,000 rows through the Python client, beside npy bodies that are sent by hand. Wants a quiet machine.
.PHONY: bench-client
bench-client: install
	$(BIN)/python -m bench.client --into docs/client.md

# The site of docs/, in build/site. It fails on a broken link and on anything that a browser would ask another host for.
.PHONY: docs reference docs-pictures
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The pages of docs/reference/, from the code. A test fails while one of them is not what the code says.
reference: install
	$(BIN)/python -m docs.generate

# The pictures of docs/understanding/ and docs/gallery/: some minutes. DATA as below; `sluice serve` must run beside it.
docs-pictures: install
	$(BIN)/python -m docs.understanding.pictures
	for script in docs/gallery/[a-z]*.py; do \
	  $(BIN)/python -m docs.gallery.$$(basename $$script .py) $(if $(DATA),--data-dir $(DATA)) || exit 1; \
	done

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
	$(VENV)-lock/bin/pip install --quiet torch==2.13.0 --editable '.[train,object-store,sign,otel]'
	$(VENV)-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	$(VENV)-lock/bin/pip install --quiet --editable '.[train,object-store,sign,otel,dev]'
	echo '-r requirements.lock' > requirements-dev.lock
	$(VENV)-lock/bin/pip freeze --all --exclude pip --exclude wheel --exclude-editable | sed 's/+cpu$$//' | grep -vxFf requirements.lock >> requirements-dev.lock
	rm -rf $(VENV)-lock

# Hashes for the pins of the locks, for the image; versions stay. After every `make lock`.
.PHONY: lock-hashes
lock-hashes:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --disable-pip-version-check uv
	$(VENV)-lock/bin/python docker/lock_hashes.py $(VENV)-lock/bin/uv
	rm -rf $(VENV)-lock

# Digests of the images of others, asked of their registries: Prometheus, Grafana, the base. Tags stay.
.PHONY: lock-images
lock-images:
	$(PYTHON) docker/lock_images.py

# Known weaknesses of the packages of all locks. Ends with "Error 3" where not every package could be looked up.
.PHONY: audit
audit:
	rm -rf $(VENV)-audit && $(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	$(PYTHON) docker/audit.py $(VENV)-audit/bin/pip-audit requirements.lock requirements-dev.lock docker/torch.lock

# What Sluice runs on: a bill of materials (CycloneDX) in build/, and the licence of each package.
.PHONY: sbom
sbom: install
	mkdir -p build
	$(BIN)/python docker/sbom.py requirements.lock > build/sbom.json
	$(BIN)/python docker/sbom.py requirements.lock --licences

clean:
	rm -rf $(VENV) $(VENV)-lock $(VENV)-audit .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* build *.egg-info client/build client/*.egg-info

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
