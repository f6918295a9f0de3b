# What developers do often. `make help` lists it; CMakePresets.json holds the builds behind it.
CMAKE ?= cmake
# One moving line on a terminal; only what matters in a log.
NINJA ?= ninja $(if $(MAKE_TERMOUT),,--quiet)
T ?=
SECONDS ?= 60
# The build that `make e2e` tests; also e.g. TULLE_BUILD=build/release.
TULLE_BUILD ?= build/dev
PROGRAMS := tulle-proxy tulled tulle
SOURCES = $(shell git ls-files 'src/*.c' 'src/*.h' 'src/*.cc' 'tools/*.cc' 'tests/*.c' 'tests/*.h' 'samples/*.c' 'bench/*.c')

.DEFAULT_GOAL := release
.NOTPARALLEL:
.PHONY: help setup setup-build release debug unit check e2e tsan fuzz bench bench-gate soak test demo \
	format docs coverage clang clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

release: build/release/build.ninja ## the three programs, optimised, as build/tulle-proxy, build/tulled and build/tulle (plain `make`)
	@$(NINJA) -C build/release
	@for program in $(PROGRAMS); do \
		if [ -e build/release/bin/$$program ]; then ln -sfn release/bin/$$program build/$$program; fi; done

debug: build/dev/build.ninja ## the same with ASan and UBSan, in build/dev/bin
	@$(NINJA) -C build/dev

unit: debug ## unit tests under ASan and UBSan (T=http/chunked: one of them)
	@ctest --test-dir build/dev -L unit --output-on-failure --parallel $$(nproc) $(if $(T),-R '^unit\.$(subst /,.,$(T))')

check: setup debug ## what to run before each commit: format, floors, words, clang-tidy, unit tests
	@script/run-tests checks unit

e2e: setup $(TULLE_BUILD)/build.ninja ## real programs on hosts that are network namespaces (T=expression, TULLE_BUILD=build/release)
	@$(NINJA) -C $(TULLE_BUILD)
	@TULLE_BUILD=$(TULLE_BUILD) script/e2e $(if $(T),-k '$(T)')

tsan: setup release build/tsan/build.ninja ## unit and end-to-end tests with ThreadSanitizer and 4 workers
	@$(NINJA) -C build/tsan
	@script/run-tests unit=build/tsan e2e=build/tsan

fuzz: setup build/fuzz/build.ninja ## one fuzz target for SECONDS: make fuzz T=chunked SECONDS=600; without T: each in turn
	@$(NINJA) -C build/fuzz
	@script/fuzz --seconds $(SECONDS) $(T)

bench: setup release ## side by side with other proxies: T=http, latency, mesh, tls, tcp, h2, rss, idle, profile, instr
	@script/setup bench
	@bench/run.sh $(or $(T),http)

bench-gate: setup release ## instructions, system calls and memory a request against bench/baseline.json
	@script/setup bench
	@bench/run.sh gate

soak: setup debug release ## the long forms of the oracles and of the end-to-end tests (SECONDS: how long each; TULLE_REQUESTS: of the soak of mixed ones, 10^7)
	@TULLE_SOAK=$(SECONDS) script/run-tests oracles=build/dev e2e=build/dev e2e=build/release

test: setup release debug build/fuzz/build.ninja ## everything that a release must pass; what CI runs
	@$(NINJA) -C build/fuzz
	@script/run-tests

demo: setup-build release ## a real mesh on this machine, with something to try
	@build/tulle demo

format: ## lays out every C file as .clang-format says
	@clang-format-14 -i $(SOURCES)

docs: build/dev/build.ninja ## docs/reference/ and docs/man/ from proto/ and from what --help says
	@$(NINJA) -C build/dev unit.pb.explain tulle tulled tulle-proxy
	@TULLE_WRITE_DOCS=1 build/dev/unit/unit.pb.explain >/dev/null
	@script/reference

coverage: setup build/coverage/build.ninja ## line coverage of the unit tests, in build/coverage/report
	@$(NINJA) -C build/coverage
	@ctest --test-dir build/coverage -L unit --parallel $$(nproc) --output-on-failure
	@mkdir -p build/coverage/report
	@gcovr --root . --filter src/ --object-directory build/coverage --html-details build/coverage/report/index.html --print-summary

clang: build/clang/build.ninja ## compiles everything with Clang, the same warnings as errors
	@$(NINJA) -C build/clang

setup: ## installs what is missing (script/setup)
	@script/setup

setup-build:
	@script/setup build

clean: ## removes build/
	@rm -rf build

build/%/build.ninja: CMakePresets.json | setup-build
	@$(CMAKE) --preset $* --log-level=WARNING >/dev/null
