#!/usr/bin/env bash
# Makes .venv hold this checkout and the versions constraints.txt pins. A stamp remembers what was
# installed: nothing is done while pyproject.toml, constraints.txt and the place are the same.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/.installed

# Two make commands at once: the second waits, and then finds everything done.
exec 9<pyproject.toml
flock 9

wanted() {
    echo "$PWD"
    sha256sum pyproject.toml constraints.txt
}

works() { .venv/bin/python -c 'import pip' 2>/dev/null; }

moved() { [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" != "$PWD" ]; }

if works && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted)" ]; then
    exit 0
fi

# Scripts in an environment name its path, and its Python may be gone: then start over.
if ! works || moved; then
    python=$(tools/find-python.sh)
    echo "setup: making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

echo "setup: installing Python packages into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -c constraints.txt -e '.[dev]'
wanted >"$stamp"
