#!/usr/bin/env bash
# .venv holds prism-edge, its development tools and torch; .oldest holds the oldest transformers, .kserve KServe's client, .jtop jetson-stats. Safe to repeat.
# TORCH names the wheel to install where torch is missing; a torch that is already in .venv is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
TORCH=${TORCH:-torch==2.13.0}

say() { printf '== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
pip() { .venv/bin/python -m pip --disable-pip-version-check install --progress-bar off "$@"; }

# 3.11 first: it is what the locked versions are tested with most.
find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.10 python3.13 python3}; do
        if "$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    return 1
}

# What the lab's boards are made of. Missing is not fatal: the lab then falls back to loopback processes and says so.
system_tools() {
    local missing=() tool
    for tool in ip tc nsenter unshare; do
        command -v "$tool" >/dev/null || [ -x "/usr/sbin/$tool" ] || missing+=("$tool")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing iproute2 and util-linux (missing: ${missing[*]})"
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y iproute2 util-linux && return 0
    fi
    say "missing: ${missing[*]}; for a lab with real links run: sudo apt-get install iproute2 util-linux"
}

system_tools
if [ ! -x .venv/bin/python ]; then
    python=$(find_python) || die "no Python 3.10 to 3.13 with venv found; try: sudo apt-get install python3 python3-venv"
    say "creating .venv with $("$python" --version)"
    "$python" -m venv .venv
fi
if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
    say "installing $TORCH (the largest download; minutes on a slow link)"
    pip -c requirements-dev.lock "$TORCH"
fi
say "installing prism-edge and its development tools (locked versions)"
pip -c requirements-dev.lock -e '.[dev]'
say "installing the oldest supported transformers into .oldest (used by the exactness tests only)"
rm -rf .oldest
pip --target .oldest --no-deps -r requirements-oldest.lock
say "installing KServe's client into .kserve (used by one test only)"
rm -rf .kserve
pip --target .kserve --no-deps --no-compile -r requirements-kserve.lock
say "installing jetson-stats into .jtop (used by one test only)"
rm -rf .jtop
pip --target .jtop --no-deps --no-compile -r requirements-jtop.lock
say "ready: .venv/bin/prism-edge --help"
