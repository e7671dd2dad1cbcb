"""The configuration of every command, as frozen dataclasses; importable without torch.

Defaults live here, field docstrings are the command line's help, and the whole object is saved with
the result.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from probe_bench.diagnostics import CHEAP

__all__ = [
    "CacheConfig",
    "CheckConfig",
    "Device",
    "EmbedConfig",
    "ExportConfig",
    "LeaksConfig",
    "ListConfig",
    "PretrainConfig",
    "ReportConfig",
    "RunConfig",
    "ShardsConfig",
    "StudyConfig",
    "TokenizerConfig",
]

Device = Literal["auto", "cpu", "cuda"]

_DEFAULT_TASKS = ("speaker", "phoneme", "emotion", "tagging")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Probe every layer of encoders and write results.csv, predictions, figures and report.html.

    The same command goes on where it was stopped: features already in the cache are not made again.
    """

    encoder: tuple[str, ...] = ("wavjepa", "audio-jepa")
    """Encoders: a bundled name, a checkpoint or its folder, hf:NAME-or-folder, torchaudio:BUNDLE,
    features:FOLDER, logmel, or random: before any of them for its untrained twin."""
    task: tuple[str, ...] = ()
    """Tasks, or none. Default: speaker, phoneme, emotion and tagging; where corpora are named, those of
    them that a corpus has labels for."""
    probe: tuple[str, ...] = ("own",)
    """Probes that read every task which they fit (see `list probes`), the first one its headline;
    own: the task's own."""
    protocol: tuple[str, ...] = ("none",)
    """Published protocols that read the tasks as well, by their own heads, parts and rules: superb, hear,
    xares, evar, all or none. Where a protocol has a fault, an honest variant stands beside it."""
    analysis: tuple[str, ...] = ("modulation", "geometry")
    """Analyses that fit no probe: how fast a layer may change, how it fills its space; or none."""
    diagnostic: tuple[str, ...] = CHEAP
    """What the scores of the logistic probe mean, on every layer: v-information, localisation,
    selectivity, code-length, sample-size, dimension; all or none of them."""
    corpus: tuple[str, ...] = ()
    """Corpora: NAME for an embedded one, NAME=FOLDER for a known data set or any folder with a
    manifest.csv. Default: each task's own embedded corpus."""
    degrade: tuple[str, ...] = ("modulations",)
    """Read the probes, trained on clean audio, on degraded test audio as well (see `list
    degradations`): modulations (below which rate does a task live?), noise, noise-white, noise-pink,
    reverb, channel, band, telephone, codec, codec-opus, codec-mulaw, all or none."""
    baselines: bool = True
    """Add log-mel at the same frame rate and the untrained twin of every encoder."""
    controls: bool = True
    """Measure beside the modulation of encoders that of low-passed and mean-pooled log-mel, whose cutoffs are
    known, and that of shuffled clips, which must not be measurable."""
    seed: int = 0
    """Decides splits, resamples, untrained weights and everything else that is drawn."""
    device: Device = "auto"
    """Where encoders and probes run."""
    limit: int | None = None
    """Use at most this many clips of each corpus: of some speakers, evenly, and most of what they say."""
    train_frames: int = 16_000
    """Train frame probes on at most this many frames, spread evenly; 0: on all of them."""
    dtype: Literal["float16", "float32"] = "float16"
    """Storage of frames in the cache; pooled statistics are always float32."""
    skip_bad: bool = False
    """Leave unusable clips out (and say which) instead of stopping at the first."""
    refuse_leaks: bool = False
    """Stop if audio of a test part is also in train or valid, instead of saying so loudly."""
    trust_code: bool = False
    """Allow checkpoints that bring code of their own."""
    cache: Path | None = None
    """Feature cache; default: probe-bench in the platform's cache folder."""
    out: Path = Path("out")
    """Folder of the run."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks asked for, or the default ones."""
        return self.task or _DEFAULT_TASKS


@dataclass(frozen=True, kw_only=True)
class EmbedConfig:
    """Write an encoder's features of every layer: index.csv and one float32 LAYER.npy a layer."""

    encoder: str
    """Encoder, as in `run`."""
    corpus: str
    """Corpus, as in `run`."""
    pool: Literal["none", "mean", "meanstd"] = "none"
    """All frames, or one vector a clip."""
    seed: int = 0
    """Seed of untrained weights."""
    device: Device = "auto"
    """Where the encoder runs."""
    limit: int | None = None
    """Use at most this many clips: of some speakers, evenly, and most of what they say."""
    skip_bad: bool = False
    """Leave unusable clips out instead of stopping at the first."""
    trust_code: bool = False
    """Allow checkpoints that bring code of their own."""
    cache: Path | None = None
    """Feature cache; default: probe-bench in the platform's cache folder."""
    out: Path
    """Folder to write to."""


@dataclass(frozen=True, kw_only=True)
class ListConfig:
    """List what can be named on the command line."""

    what: tyro.conf.Positional[
        Literal["encoders", "tasks", "probes", "protocols", "corpora", "degradations", "systems"]
    ]
    """What to list."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"])] = False
    """Say more: sources and licences; faults of protocols; for tasks, chance and what log-mel reaches."""


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """Check that an encoder keeps its contract: rates, layers, timing, determinism, invariance."""

    what: tyro.conf.Positional[Literal["encoder"]]
    """What to check."""
    reference: tyro.conf.Positional[str]
    """Encoder, as in `run`."""
    device: Device = "auto"
    """Where the encoder runs."""
    trust_code: bool = False
    """Allow checkpoints that bring code of their own."""


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Render the report of a run again, or of several runs side by side."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders that `run` wrote."""
    out: Path | None = None
    """Where to write; default: into the only run, or `report` for several."""


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """Look after the feature cache."""

    action: tyro.conf.Positional[Literal["ls", "verify", "prune"]]
    """ls: list entries; verify: check every shard and drop damaged ones; prune: remove incomplete
    entries."""
    all: bool = False
    """With prune: remove everything."""
    degraded: bool = False
    """With prune: remove the features of degraded audio as well."""
    cache: Path | None = None
    """Feature cache; default: probe-bench in the platform's cache folder."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Pretrain a bundled system or a recipe file; the same command goes on where it was stopped.

    Under torchrun the processes share every batch and learn what one process would.
    """

    system: tyro.conf.Positional[str]
    """Bundled system, e.g. wavjepa, or a recipe file (.toml)."""
    preset: str | None = None
    """Preset of the system: tiny (the default) trains in minutes on two cores; small; base, or paper
    and code where the two disagree. See `list systems`."""
    steps: int | None = None
    """Training steps; default: the recipe's. Schedules stretch with it."""
    corpus: tuple[str, ...] = ("speech-pretrain", "scenes-pretrain")
    """Corpora to train on, as in `run`; labels are not used. none: only what --audio names."""
    audio: tuple[str, ...] = ()
    """More audio, decoded while training: folders, manifests (.csv), WebDataset shards such as
    shards-{000..099}.tar."""
    skip_bad: bool = False
    """Leave recordings of --audio out whose header is not usable, and list them."""
    workers: int = 0
    """Processes that decode audio and draw masks ahead of the training."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    monitor_every: int = 50
    """Steps between rows of log.csv."""
    probe_every: int = 0
    """Steps between runs of the probes on the embedded corpora (probes.csv); 0: never."""
    probe_task: tuple[str, ...] = ("speaker", "phoneme")
    """Tasks of --probe-every."""
    probe_limit: int | None = None
    """Use at most this many clips of each corpus for --probe-every."""
    stop_on_collapse: bool = False
    """Stop when three monitored steps in a row show a collapse."""
    compile: bool = False
    """Compile the encoder's blocks; pays on a GPU."""
    seed: int = 0
    """Seed of weights, crops and masks."""
    device: Device = "auto"
    """Where to train."""
    cache: Path | None = None
    """Where embedded corpora are kept; default: the platform's cache folder."""
    out: Path
    """Folder that receives checkpoint.safetensors, log.csv, training.png and TensorBoard events."""


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """Pack recordings into WebDataset shards for `pretrain --audio`, in a shuffled order."""

    audio: tyro.conf.Positional[tuple[str, ...]]
    """Recordings: folders, manifests (.csv), files."""
    shard_mb: int = 1000
    """Size at which a shard is closed, in MB."""
    seed: int = 0
    """Seed of the order."""
    out: Path
    """Folder of the shards."""


@dataclass(frozen=True, kw_only=True)
class LeaksConfig:
    """Look for evaluation audio in pretraining audio: exit code 1 if any is there, 0 if none.

    Found are copies of about a second or more that other gain, rate, codec, trimming or moderate noise
    has changed. Shared names of speakers, recordings and sources are listed, and change no exit code.
    """

    corpus: tyro.conf.Positional[tuple[str, ...]]
    """Evaluation corpora, as in `run`."""
    against: tuple[str, ...] = ()
    """Pretraining audio: corpora as in `run`; folders, manifests, shards as in `pretrain --audio`; or
    a checkpoint of `pretrain` or its folder, for what it was trained on."""
    skip_bad: bool = False
    """Leave recordings out that are not readable, and count them."""
    cache: Path | None = None
    """Where embedded corpora are kept; default: the platform's cache folder."""
    out: Path = Path("leaks")
    """Folder that receives leaks.csv."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write one of our encoders as a folder that another suite accepts, with the same features."""

    reference: tyro.conf.Positional[str]
    """Bundled system, checkpoint or its folder, or a published file, as in `run`."""
    format: Literal["hear", "xares", "s3prl", "transformers", "torchscript", "onnx"]
    """Whose encoders it shall be like."""
    layer: tuple[str, ...] = ()
    """Layers to give out, side by side where the format has one output; all: every layer. Default:
    out_norm for hear, xares and transformers (which gives the blocks' outputs as well), else all."""
    seed: int = 0
    """Seed of untrained weights."""
    out: Path
    """Empty or new folder to write to."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Pretrain what a study compares, measure it and report; the same command goes on where it stopped."""

    what: tyro.conf.Positional[
        Literal["mask-span", "teacher", "targets", "objective", "frame-rate", "corpus", "collapse"]
    ]
    """What sets the modulation cutoff: length of the masks, rate of the teacher, blocks and normalisation of
    the targets, what is predicted, token rate, training audio. collapse: which switches collapse, and
    which monitor tells first."""
    scale: Literal["smoke", "small", "full"] = "small"
    """smoke: minutes, on computed tones; small: hours of a few cores, on the embedded corpora; full: the
    published design, for GPUs."""
    seeds: int | None = None
    """Trainings of every arm; default: the scale's."""
    audio: tuple[str, ...] = ()
    """Corpora to train on, as in `pretrain --corpus`; default: the embedded ones of the study."""
    corpus: tuple[str, ...] = ()
    """Corpora to measure on, as in `run`; default: each task's own embedded one."""
    workers: int | None = None
    """Trainings at once; default: one for each GPU, or for each core of a machine without."""
    device: Device = "auto"
    """Where to train."""
    cache: Path | None = None
    """Where embedded corpora and features are kept; default: the platform's cache folder."""
    out: Path = Path("study")
    """Folder of the report, its tables and the trainings; studies of the cutoff share trainings in it."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Train the waveform decoder of density-jepa, or turn recordings into tokens and back."""

    action: tyro.conf.Positional[Literal["train", "encode", "decode"]]
    """train: second stage for a pretrained density-jepa; encode: recordings to .tokens.safetensors;
    decode: those to .wav."""
    checkpoint: tyro.conf.Positional[Path]
    """train: checkpoint of density-jepa or its folder; encode, decode: codec.safetensors or its folder."""
    files: tyro.conf.Positional[tuple[str, ...]] = ()
    """encode: recordings, folders or manifests; decode: token files."""
    preset: str | None = None
    """train: tiny, small, base or code; default: the one named like the encoder's."""
    corpus: tuple[str, ...] = ("speech-pretrain",)
    """train: corpora, as in `pretrain`."""
    audio: tuple[str, ...] = ()
    """train: more audio, as in `pretrain`."""
    skip_bad: bool = False
    """train: leave recordings of --audio out whose header is not usable."""
    steps: int | None = None
    """train: steps; default: the preset's."""
    checkpoint_every: int = 200
    """train: steps between checkpoints."""
    workers: int = 0
    """train: processes that decode audio."""
    seed: int = 0
    """train: of weights and crops."""
    device: Device = "auto"
    """Where to work."""
    cache: Path | None = None
    """Where embedded corpora are kept; default: the platform's cache folder."""
    out: Path
    """Folder to write to."""
