"""Get the features of every encoder on every corpus: from the cache, or by extraction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from rich.console import Console

from probe_bench import screen
from probe_bench.budget import Cost, degrading_slowness, encoding_speed, total
from probe_bench.cache import Cache, DType, Entry
from probe_bench.config import Device
from probe_bench.corpus import Corpus
from probe_bench.encoder import Encoder
from probe_bench.errors import UserError
from probe_bench.exported import ExportedFeatures
from probe_bench.extract import Plan, extract, plan
from probe_bench.features import Features
from probe_bench.ledger import Ledger
from probe_bench.lineup import Contestant
from probe_bench.residency import Residency, default_budget
from probe_bench.stored import StoredFeatures
from probe_bench.survey import Survey, survey

__all__ = ["Workshop", "pick_device"]

_LEFT_OUT_SHOWN = 10


def pick_device(device: Device) -> torch.device:
    """Return the device asked for; `auto` is the GPU where there is one.

    Raises:
        UserError: If a GPU is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: no CUDA device found; use --device auto or cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where a command works: cache, device, storage type, screen and ledger."""

    cache: Cache
    device: torch.device
    dtype: DType
    console: Console
    ledger: Ledger

    def look_over(
        self,
        corpora: Sequence[Corpus],
        contestants: Sequence[Contestant],
        *,
        skip_bad: bool,
        fingerprints: bool = False,
    ) -> dict[str, Survey]:
        """Decode every clip of every corpus once and say what is left out."""
        encoders = [c.encoder for c in contestants if c.encoder]
        shortest_s = max((e.min_samples / e.sample_rate_hz for e in encoders), default=0.0)
        surveys = {}
        for corpus in corpora:
            with (
                self.ledger.time("read", corpus=corpus.name) as stage,
                screen.progress(self.console) as bar,
            ):
                job = bar.add_task(f"read {corpus.name}", total=len(corpus))
                surveys[corpus.name] = survey(
                    corpus,
                    skip_bad=skip_bad,
                    shortest_s=shortest_s,
                    fingerprints=fingerprints,
                    advance=partial(bar.advance, job),
                )
                stage.bytes = sum(clip.path.stat().st_size for clip in surveys[corpus.name].corpus)
            self._report_left_out(corpus, surveys[corpus.name])
        return surveys

    def _report_left_out(self, corpus: Corpus, looked: Survey) -> None:
        """Say how many clips are left out, and why."""
        if looked.left_out:
            self.console.print(
                f"{corpus.name}: left out {len(looked.left_out)} of {len(corpus)} clips",
                markup=False,
            )
        for left in looked.left_out[:_LEFT_OUT_SHOWN]:
            self.console.print(f"  {left.clip}: {left.reason}", markup=False)
        if looked.left_out[_LEFT_OUT_SHOWN:]:
            self.console.print("  ... all of them stand in run.json")

    def gather(
        self,
        contestants: Sequence[Contestant],
        surveys: Mapping[str, Survey],
        needs_frames: Callable[[str], bool],
    ) -> dict[tuple[str, str], Features]:
        """Return features by (encoder, name of the survey); print the cost, then extract what is missing.

        Degraded audio needs an encoder: folders of features have no entry for it.
        """
        # Folders first: a fault there should not wait for hours of encoding.
        features: dict[tuple[str, str], Features] = {
            (contestant.name, name): self._exported(contestant, looked)
            for contestant in contestants
            for name, looked in surveys.items()
            if contestant.folder and looked.degradation is None
        }
        plans = {
            (contestant.name, name): self._plan(
                contestant.encoder, looked, frames=needs_frames(name)
            )
            for contestant in contestants
            for name, looked in surveys.items()
            if contestant.encoder
        }
        costs = total(self._costs(contestants, surveys, plans))
        self.console.print(screen.costs(costs, str(self.cache.root)))
        residency = Residency(self.device, *default_budget(self.device))
        named = {contestant.name: contestant for contestant in contestants}
        asked: dict[tuple[str, str], dict[str, tuple[Survey, Plan]]] = {}
        for (encoder, corpus), planned in plans.items():
            label = surveys[corpus].corpus.name
            asked.setdefault((encoder, label), {})[corpus] = (surveys[corpus], planned)
        for (encoder, label), wanted in asked.items():
            stored = self._stored(named[encoder], label, wanted, residency)
            features |= {(encoder, corpus): found for corpus, found in stored.items()}
        return features

    def _plan(self, encoder: Encoder, looked: Survey, *, frames: bool) -> Plan:
        """Plan an extraction; an entry that also holds frames serves where none are needed."""
        with_frames = plan(encoder, looked, frames=True, dtype=self.dtype)
        if frames or self.cache.holds(with_frames.key):
            return with_frames
        return plan(encoder, looked, frames=False, dtype=self.dtype)

    def _costs(
        self,
        contestants: Sequence[Contestant],
        surveys: Mapping[str, Survey],
        plans: Mapping[tuple[str, str], Plan],
    ) -> list[Cost]:
        """Measure the speed of every encoder that has work to do, and of every degradation."""
        items = []
        slowness = {
            name: degrading_slowness(looked.degradation) for name, looked in surveys.items()
        }
        for contestant in contestants:
            own = {corpus: p for (name, corpus), p in plans.items() if name == contestant.name}
            missing = {corpus: self._missing_s(p) for corpus, p in own.items()}
            speed = 1.0
            if contestant.encoder and any(missing.values()):
                speed = encoding_speed(contestant.encoder, str(self.device))
            items += [
                Cost(
                    encoder=contestant.name,
                    corpus=surveys[corpus].corpus.name,
                    clips=sum(len(shard) for shard in p.shards),
                    audio_s=sum(p.audio_s),
                    missing_s=missing[corpus],
                    seconds=missing[corpus] * (1 / speed + slowness[corpus]),
                    n_bytes=p.n_bytes,
                )
                for corpus, p in own.items()
            ]
        return items

    def _missing_s(self, planned: Plan) -> float:
        """Return the seconds of audio whose shards are not in the cache yet."""
        return sum((planned.audio_s[s] for s in self.cache.entry(planned.key).missing()), 0.0)

    def _stored(
        self,
        contestant: Contestant,
        label: str,
        asked: Mapping[str, tuple[Survey, Plan]],
        residency: Residency,
    ) -> dict[str, StoredFeatures]:
        """Complete the cache entries that go by one label, with progress, and open them."""
        assert contestant.encoder
        entries: dict[str, Entry] = {}
        with (
            self.ledger.time("extract", encoder=contestant.name, corpus=label) as stage,
            screen.progress(self.console, counted=False) as bar,
        ):
            seconds = sum(sum(planned.audio_s) for _, planned in asked.values())
            job = bar.add_task(f"encode {label} by {contestant.name}", total=seconds)
            for name, (looked, planned) in asked.items():
                entries[name] = extract(
                    contestant.encoder,
                    looked,
                    planned,
                    self.cache,
                    device=str(self.device),
                    advance=partial(bar.advance, job),
                )
            bar.update(job, completed=seconds)  # parts add up to within rounding
            stage.bytes = sum(entry.n_bytes() for entry in entries.values())
        return {
            name: StoredFeatures(
                encoder=contestant.name,
                layers=contestant.layers,
                entry=entry,
                shards=asked[name][1].shards,
                residency=residency,
            )
            for name, entry in entries.items()
        }

    def _exported(self, contestant: Contestant, looked: Survey) -> ExportedFeatures:
        """Open a folder of features that something else computed."""
        assert contestant.folder
        return ExportedFeatures(contestant.folder, looked.corpus, self.device)
