"""Put the encoder of a training into its system's folder: bundle.py SYSTEM TRAINING."""

import sys
from pathlib import Path

from probe_bench.encoders.pretraining.checkpoint import export_encoder
from probe_bench.encoders.pretraining.pretrain import CHECKPOINT

system, training = sys.argv[1:]
folder = Path(__file__).parents[1] / "encoders" / system.replace("-", "_")
export_encoder(Path(training) / CHECKPOINT, folder / "tiny.safetensors")
print(folder / "tiny.safetensors")
