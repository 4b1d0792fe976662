#!/usr/bin/env bash
# The main job on real input: train a character language model on the standard library's Python
# sources, export it as a stream, prove the two equal, look at the file, and write text with it.
# Run from anywhere: `make demo` sets up first.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p demo && cd demo

say() { printf '\n$ %s\n' "$*" >&2; "$@"; }

say rnnedge train char-lm --output char-lm.safetensors --force
say rnnedge export rnnedge.zoo.char_lm:from_checkpoint --arg checkpoint=char-lm.safetensors \
    --input "tokens: int64[batch, time]" --output char-lm.onnx --force
say rnnedge inspect char-lm.onnx
say rnnedge generate char-lm.onnx --prompt "def " --length 500 --temperature 0.7 --top-k 20 --seed 7
