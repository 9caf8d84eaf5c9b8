# Every verb is a script of scripts/, so that it can be read, and run alone.
.DEFAULT_GOAL := help
.PHONY: help test test-go test-race test-ts test-browser test-long lint build assets bench fmt coming-back

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## everything CI runs; installs what it needs and says so
	@scripts/test

test-go: ## the Go tests, quickly
	@scripts/test-go

test-race: ## the Go tests with the race detector, in random order
	@scripts/test-race

test-ts: ## the TypeScript workspace: types, lint, tests, assets
	@scripts/test-ts

test-browser: ## the demo and the client in Chromium
	@scripts/test-browser

coming-back: ## measure how clients come back; writes docs/coming-back.md
	@scripts/coming-back

test-long: ## fuzzing, and the tests that kill and cut for minutes
	@scripts/test-long

lint: ## formatting, vet, staticcheck, the rules of the house
	@scripts/lint

build: ## bin/holdfast
	@scripts/build

assets: ## rebuild the embedded web assets, check they are committed
	@scripts/assets

bench: ## the Go benchmarks
	@scripts/bench

fmt: ## format all sources
	@scripts/fmt
