#!/bin/sh
# Writes the lock files anew from pyproject.toml: exact versions and hashes, no addresses. Needs uv.
set -eu
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --all-extras "$@" pyproject.toml; }
lock --upgrade --group build -o requirements/run.txt
lock --upgrade --group dev -c requirements/run.txt -o requirements/dev.txt
