# Every target; `make` alone lists them.
SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

uait = deploy/local/preflight.sh && node deploy/local/npm-ci.mjs && \
  node --import ./ts/node_modules/tsx/dist/esm/index.mjs --conditions=uait-source ts/apps/cli/src/main.ts

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: preflight
preflight: ## name the toolchains and packages that this machine lacks
	@deploy/local/preflight.sh && echo "everything that make up needs is here"

.PHONY: up
up: ## install, generate, build, start the mesh, call through all four languages
	@$(uait) up

.PHONY: down
down: ## stop every process of the mesh
	@$(uait) down

.PHONY: status
status: ## processes, health, memory and ports
	@$(uait) status

.PHONY: logs
logs: ## follow the logs: all, or one with S=echo-go
	@$(uait) logs --follow $(if $(S),--service $(S))

.PHONY: ask
ask: ## run a task and show the tree as it grows: Q="What is 6 times 7?"
	@$(uait) ask --question "$$Q"

.PHONY: install
install: ## install the pinned tools into .uait/
	@$(uait) install

.PHONY: gen
gen: ## generate the stubs of all languages from proto/
	@$(uait) gen

.PHONY: build
build: ## generate and build every service
	@$(uait) build

.PHONY: breaking
breaking: ## fail when the contracts break who was built against an earlier version
	@proto/breaking.sh

.PHONY: made
made: ## write every file that is made from deploy/mesh.yaml
	@$(uait) made

.PHONY: check
check: ## fail when a made file is not what deploy/mesh.yaml makes
	@$(uait) check

.PHONY: compose
compose: ## prepare .uait/ for deploy/compose (needs no container engine)
	@$(uait) compose

.PHONY: new
new: ## a new service from the living template: NAME=my-service LANG=go
	@$(uait) new --name "$(NAME)" --lang "$(LANG)"

suite = node --import ./ts/node_modules/tsx/dist/esm/index.mjs --conditions=uait-source ts/e2e/src/suite/main.ts

.PHONY: test
test: ## everything that CI runs, from nothing; part of it with ONLY="go test"
	@$(uait) install && $(uait) gen && $(suite) $(if $(ONLY),--only "$(ONLY)")

.PHONY: lint
lint: gen ## linters and formatters of all languages
	@$(suite) --only "go lint" --only "rust lint" --only "ts lint" --only "python lint" --only contracts

.PHONY: conformance
conformance: build ## every client against every server, as a matrix
	@$(suite) --only "test programs" --only conformance

.PHONY: bench-mesh
bench-mesh: build ## what a call costs, by language and way; about 10 minutes
	@$(suite) --only "bench programs"
	@cd ts && node --import tsx --conditions=uait-source apps/bench/src/mesh.ts

.PHONY: bench-run
bench-run: ## what the mesh adds to a search step, and whether search pays; needs make up, about an hour
	@cd ts && node --import tsx --conditions=uait-source apps/bench/src/run/main.ts $(BENCH)

.PHONY: bench-inference
bench-inference: build ## how fast texts are written, against llama.cpp itself; about 5 minutes
	@$(suite) --only "bench inference programs"
	@PYTHONPATH=python/gen .uait/venv/bin/python python/bench/inference.py --peer .uait/peers/inference/bin/python $(ARGS)

.PHONY: bench
bench: bench-mesh bench-run bench-inference ## every benchmark
