#!/usr/bin/env bash
# Installs the Debian packages that are missing, or says which they are if it may not.
#
#   tools/packages.sh           everything: what the agent, the tests and the demo call or load
#   tools/packages.sh python    only what a virtual environment needs
set -euo pipefail
cd "$(dirname "$0")/.."

# Where the tools live for root; other users rarely have it in their PATH.
PATH=$PATH:/usr/sbin:/sbin

has_command() { command -v "$1" >/dev/null; }
has_libnftables() { [[ "$(ldconfig -p)" == *"libnftables.so.1 "* ]]; }
has_python() { .venv/bin/python -c 'import pip' 2>/dev/null || tools/find-python.sh >/dev/null; }

missing_packages() {
    has_python || echo python3-venv
    [ "${1:-}" = python ] && return
    has_command nft || echo nftables
    has_libnftables || echo libnftables1
    has_command iptables-restore || echo iptables
    has_command conntrack || echo conntrack
    has_command ip || echo iproute2
    has_command ping || echo iputils-ping
    has_command strace || echo strace
}

fail() {
    echo "setup: $*" >&2
    exit 1
}

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

mapfile -t missing < <(missing_packages "$@")
[ ${#missing[@]} -eq 0 ] && exit 0

has_command apt-get ||
    fail "not found on this machine: what Debian packages as ${missing[*]};" \
        "there is no apt-get, so install them by the means of this system (Python 3.11 or newer)"
[ "$(id -u)" -eq 0 ] ||
    fail "missing Debian packages: ${missing[*]}; install them with: sudo apt-get install ${missing[*]}"

echo "setup: installing Debian packages: ${missing[*]}"
# The package lists of a fresh machine are empty; those of another need not be fetched again.
install "${missing[@]}" || { apt-get update -q && install "${missing[@]}"; } ||
    fail "apt-get could not install ${missing[*]}; its messages are above"

mapfile -t missing < <(missing_packages "$@")
[ ${#missing[@]} -eq 0 ] ||
    fail "installed, but still not found: ${missing[*]}; look at PATH and at apt-get's messages"
