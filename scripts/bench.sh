#!/usr/bin/env bash
# How fast every plan is on two emulated boards, against Hugging Face and one board. It takes long; arguments go to the command:
# scripts/bench.sh --models vit-b16 --batches 1 --rate 20mbit
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/prism-edge bench engine "$@"
