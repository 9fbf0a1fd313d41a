#!/usr/bin/env bash
# Paired latency ratios of local, prism and voltage at ViT-B/16's size on two emulated boards; the lab is removed afterwards.
# RATE, BATCH and REPEATS change the conditions: RATE=20mbit make bench
set -euo pipefail
cd "$(dirname "$0")/.."
prism_edge=.venv/bin/prism-edge
model=.demo/models/vit-b16

.venv/bin/python examples/vit_b16/make.py "$model"
trap '"$prism_edge" lab down --name bench' EXIT
cluster=$("$prism_edge" lab up --name bench --boards 2 --rate "${RATE:-100mbit}" --json |
    .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["cluster_toml"])')
"$prism_edge" bench engine --cluster "$cluster" --model "vit-b16=$model" --batch "${BATCH:-4}" --repeats "${REPEATS:-10}" \
    --plan local --plan prism:p=2,l=10,dtype=fp16 --plan voltage:p=2,dtype=fp32 \
    --against local --against voltage:p=2,dtype=fp32
