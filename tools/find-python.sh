#!/usr/bin/env bash
# Prints the path of a Python >= 3.11 that can make virtual environments; fails if there is none.
# PYTHON=/path/to/python chooses one. A version manager's shim may exist without a Python behind
# it, and Debian's python3 may lack ensurepip, so each candidate is tried, not only looked for.
set -u

usable='import sys, venv, ensurepip
if sys.version_info < (3, 11): sys.exit(1)
print(sys.executable)'

for candidate in ${PYTHON:-} python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
    if path=$("$candidate" -c "$usable" 2>/dev/null); then
        echo "$path"
        exit 0
    fi
done
exit 1
