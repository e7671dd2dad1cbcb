"""Get the features of every encoder on every corpus: from the cache, or by extraction."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from rich.console import Console

from probe_bench import screen
from probe_bench.budget import Cost, degrading_slowness, encoding_speed, total
from probe_bench.cache import Cache, DType
from probe_bench.config import Device
from probe_bench.corpus import Corpus
from probe_bench.encoder import Encoder
from probe_bench.errors import UserError
from probe_bench.exported import ExportedFeatures
from probe_bench.extract import Plan, extract, plan
from probe_bench.features import Features
from probe_bench.ledger import Ledger, Stage
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
        need_frames: Collection[str],
    ) -> dict[tuple[str, str], Features]:
        """Print the cost and extract what is missing.

        Args:
            contestants: Every encoder.
            surveys: Corpora, clean or degraded, by name.
            need_frames: Names of those of which single frames are read.

        Returns:
            Features by encoder and survey. Degraded audio needs an encoder: folders of features have
            no entry for it.
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
                contestant.encoder, looked, frames=name in need_frames
            )
            for contestant in contestants
            for name, looked in surveys.items()
            if contestant.encoder
        }
        costs = total(self._costs(surveys, plans))
        self.console.print(screen.costs(costs, str(self.cache.root)))
        residency = Residency(self.device, *default_budget(self.device))
        labels: dict[str, dict[str, dict[str, Plan]]] = {}
        for (encoder, name), planned in plans.items():
            asked = labels.setdefault(surveys[name].corpus.name, {})
            asked.setdefault(name, {})[encoder] = planned
        for label, asked in labels.items():
            features |= self._stored(label, asked, surveys, residency)
        return features

    def _plan(self, encoder: Encoder, looked: Survey, *, frames: bool) -> Plan:
        """Plan an extraction; an entry that also holds frames serves where none are needed."""
        with_frames = plan(encoder, looked, frames=True, dtype=self.dtype)
        if frames or self.cache.holds(with_frames.key):
            return with_frames
        return plan(encoder, looked, frames=False, dtype=self.dtype)

    def _costs(
        self, surveys: Mapping[str, Survey], plans: Mapping[tuple[str, str], Plan]
    ) -> list[Cost]:
        """Measure the speed of every encoder that has work to do, and of every degradation.

        A clip is degraded once: its time is shared between the encoders that will hear it.
        """
        missing_s = {where: self._missing_s(planned) for where, planned in plans.items()}
        waiting = Counter(name for (_, name), s in missing_s.items() if s)
        slowness = {name: degrading_slowness(surveys[name].degradation) for name in waiting}
        busy = {encoder: plans[encoder, name] for (encoder, name), s in missing_s.items() if s}
        speeds = {name: encoding_speed(p.encoder, str(self.device)) for name, p in busy.items()}

        def seconds(encoder: str, name: str) -> float:
            missing = missing_s[encoder, name]
            return missing and missing * (1 / speeds[encoder] + slowness[name] / waiting[name])

        return [
            Cost(
                encoder=encoder,
                corpus=surveys[name].corpus.name,
                clips=sum(len(shard) for shard in planned.shards),
                audio_s=sum(planned.audio_s),
                missing_s=missing_s[encoder, name],
                seconds=seconds(encoder, name),
                n_bytes=planned.n_bytes,
            )
            for (encoder, name), planned in plans.items()
        ]

    def _missing_s(self, planned: Plan) -> float:
        """Return the seconds of audio whose shards are not in the cache yet."""
        return sum((planned.audio_s[s] for s in self.cache.entry(planned.key).missing()), 0.0)

    def _stored(
        self,
        label: str,
        asked: Mapping[str, Mapping[str, Plan]],
        surveys: Mapping[str, Survey],
        residency: Residency,
    ) -> dict[tuple[str, str], Features]:
        """Complete the cache entries that go by one label, with progress, and open them.

        Args:
            label: Corpus, and kind of degradation if any: its severities go by one label.
            asked: Plans by survey and encoder.
            surveys: By name.
            residency: Keeps what is read near the device.
        """
        found: dict[tuple[str, str], Features] = {}
        with screen.progress(self.console, counted=False) as bar:
            seconds = sum(sum(p.audio_s) for plans in asked.values() for p in plans.values())
            job = bar.add_task(f"encode {label}", total=seconds)

            @contextmanager
            def timed(encoder: str) -> Iterator[Stage]:
                bar.update(job, description=f"encode {label} by {encoder}")
                with self.ledger.time("extract", encoder=encoder, corpus=label) as stage:
                    yield stage

            for name, plans in asked.items():
                entries = extract(
                    list(plans.values()),
                    surveys[name],
                    self.cache,
                    device=str(self.device),
                    advance=partial(bar.advance, job),
                    timed=timed,
                )
                for (encoder, planned), entry in zip(plans.items(), entries, strict=True):
                    with self.ledger.time("extract", encoder=encoder, corpus=label) as stage:
                        stage.bytes = entry.n_bytes()
                    found[encoder, name] = StoredFeatures(
                        encoder=encoder,
                        layers=planned.encoder.layers,
                        entry=entry,
                        shards=planned.shards,
                        residency=residency,
                    )
            # Parts add up to within rounding.
            bar.update(job, completed=seconds, description=f"encode {label}")
        return found

    def _exported(self, contestant: Contestant, looked: Survey) -> ExportedFeatures:
        """Open a folder of features that something else computed."""
        assert contestant.folder
        return ExportedFeatures(contestant.folder, looked.corpus, self.device)
