#!/bin/sh
# Makes .venv with what requirements/$1.txt locks and this clone installed editable: `setup.sh run|dev`.
set -eu
cd "$(dirname "$0")/.."
what=$1
venv=.venv

fail() {
    printf 'set-up: %s\n' "$@" >&2
    exit 1
}

# A version manager's shim may stand on the PATH for a Python that is not installed: only running it tells.
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 or newer"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer on the PATH: install one, or name it with make PYTHON=/path/to/python3"
}

make_venv() {
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python lacks its venv module: on Debian and Ubuntu, apt-get install python3-venv"
    echo "set-up: a virtual environment in $venv, with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet --quiet "$@"; }

# A clone that was moved or a Python that was upgraded leaves a .venv that no longer runs.
{ new_enough "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; } || make_venv
echo "set-up: the dependencies that requirements/$what.txt locks"
pip install --require-hashes -r "requirements/$what.txt" ||
    fail "the dependencies could not be installed: see above; is the package index reachable?"
pip install --no-deps --no-build-isolation --editable .
touch "$venv/$what.stamp"
# The development lock holds everything that the run-time lock does.
[ "$what" = run ] || touch "$venv/run.stamp"
