#!/usr/bin/env bash
# Refreshes the hash-locked requirements from pyproject.toml. Needs uv; `--upgrade` moves every pin to its newest release.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() { # output, sources and options...
    local output=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-annotate --custom-compile-command "scripts/lock.sh" --output-file "$output" "$@"
}

compile requirements/build.txt requirements/build.in "$@"
compile requirements/runtime.txt pyproject.toml "$@"
compile requirements/dev.txt pyproject.toml --extra dev --constraint requirements/runtime.txt "$@"
