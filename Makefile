# Every way in. The work is done by the scripts in docker/, each of which says at its top what it does.
.DEFAULT_GOAL := help
.PHONY: help up down logs status images test test-unit test-e2e lint fmt reference bench fuzz manage shell backup restore reload rollout clean

# What a build downloads with: on most machines the public bundle, behind a re-signing proxy the company's own.
export BUILD_CA_FILE ?= $(firstword $(wildcard $(SSL_CERT_FILE) /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem) /dev/null)
# image: quick to build. release: with link-time optimisation, as published.
export CARGO_PROFILE ?= image

help: ## this list
	@echo "Monodon. What you can make:"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  %-12s %s\n", $$1, $$2 }'

up: ## build, start, wait until all is healthy, tell the address
	@docker/up.sh
down: ## stop and remove the containers; the volumes stay
	@docker compose --profile '*' down --remove-orphans
logs: ## follow the logs (SERVICE=worker for one)
	@docker compose logs --follow --tail 50 $(SERVICE)
status: ## what runs, and how it is
	@docker/status.sh
images: ## build the images (CARGO_PROFILE=release as for publishing)
	@docker/engine.sh && docker/env.sh secrets && docker/build.sh

test: ## everything, in the test image: lint, unit, protocol, worker, end to end
	@docker/test.sh all
test-unit: ## without the end-to-end tests (NATIVE=1: with this machine's own tools)
	@docker/test.sh unit
test-e2e: ## the end-to-end tests alone (TEST=name for some; NATIVE=1)
	@docker/test.sh e2e
lint: ## format, clippy and configuration checks (NATIVE=1)
	@docker/test.sh lint
fmt: ## format the Rust sources
	@cargo fmt --all
reference: ## write docs/reference/ from the settings in the code
	@UPDATE_REFERENCE=1 cargo nextest run --workspace --exclude monodon-tests reference
bench: ## measure against nginx, gunicorn, granian and bjoern; writes bench/RESULTS.md
	@docker/bench.sh
fuzz: ## ten minutes of each fuzz target (FUZZ_SECONDS=600, TARGET=name for one)
	@docker/fuzz.sh

manage: ## a management command: make manage ARGS='createsuperuser'
	@docker/manage.sh $(ARGS)
shell: ## the application's shell
	@docker/manage.sh shell
backup: ## database, media and certificates into backups/
	@docker/backup.sh
restore: ## put a backup back: make restore FILE=backups/….tar.gz
	@docker/restore.sh '$(FILE)'
reload: ## fresh Python processes in the same containers, no request lost
	@docker/reload.sh
rollout: ## new code and settings: new workers beside the old, ready, drained, removed
	@docker/rollout.sh
clean: ## remove containers, volumes WITH THEIR DATA, images made here (asks first)
	@docker/clean.sh
