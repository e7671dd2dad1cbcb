#!/bin/sh
# Make a bundled checkpoint again, with its model card: runs/tiny.sh SYSTEM [FOLDER]
# 10 to 40 minutes on one core. Stopped, the same command goes on.
set -eu
system=$1
out=${2:-out/tiny/$system}
probe-bench pretrain "$system" --preset tiny --device cpu --out "$out"
python runs/bundle.py "$system" "$out"
probe-bench run --encoder "$system" --out "$out/run"
python runs/card.py "$system" "$out" "$out/run"
