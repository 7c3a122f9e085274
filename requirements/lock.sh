#!/bin/sh
# Writes the lock files anew from pyproject.toml: exact versions and hashes, no addresses. Needs uv.
set -eu
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url "$@" pyproject.toml; }
# `make up` runs every kind that comes along, on files of this machine. UPGRADE= keeps what is locked.
upgrade=${UPGRADE---upgrade}
# shellcheck disable=SC2086  # empty is to be nothing
lock $upgrade --extra embedded --extra fast --extra flower --extra ml --group build -o requirements/run.txt
# shellcheck disable=SC2086
lock $upgrade --all-extras --group dev -c requirements/run.txt -o requirements/dev.txt
