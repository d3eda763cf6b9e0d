#!/usr/bin/env bash
# Makes .venv hold exactly what requirements.lock says, on Python 3.11.
# $1, if given and not empty, is the interpreter to use; otherwise the first Python 3.11 on the PATH.
set -euo pipefail

is_python_311() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in "$@"; do
        is_python_311 "$candidate" && echo "$candidate" && return
    done
    echo "Python 3.11 is needed: install it, or name it with 'make setup PYTHON=/path/to/python3.11'." >&2
    exit 2
}

if ! is_python_311 .venv/bin/python; then
    python=$(find_python ${1:-python3.11 python3})
    "$python" -m venv --clear .venv
fi

echo "Installing the Python packages of requirements.lock (a minute or two the first time) ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
