#!/usr/bin/env bash
# Runs the named checks one after the other, all of them even if one fails, and sums up.
#
#   tools/check.sh lint format types imports tests
#
# PYTEST holds further arguments of pytest, quoted as in a shell: PYTEST="-k 'slices or nodes' -x".
set -u
cd "$(dirname "$0")/.."
bin=.venv/bin

check_lint() { $bin/ruff check --quiet .; }
check_format() { $bin/ruff format --check --quiet .; }
check_types() { $bin/mypy; }
check_imports() { $bin/lint-imports; }
check_tests() {
    eval "set -- ${PYTEST:-}"
    $bin/pytest "$@"
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

summary=""
status=0
for name in "$@"; do
    echo "== $name"
    start=$(now_ms)
    if "check_$name"; then
        result=ok
    else
        result=FAILED
        status=1
    fi
    took=$(($(now_ms) - start))
    summary+=$(printf '%-8s %4d.%d s  %s' "$name" $((took / 1000)) $((took % 1000 / 100)) "$result")
    summary+=$'\n'
done

echo
printf '%s' "$summary"
exit $status
