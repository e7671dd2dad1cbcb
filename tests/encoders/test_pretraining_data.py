"""Training audio: whatever the source, a crop is the same cut of the whole, resampled recording."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from probe_bench import audio
from probe_bench.corpus import Corpus
from probe_bench.encoders.pretraining.data import shard_writer
from probe_bench.encoders.pretraining.data.cuts import CropRule, Timeline
from probe_bench.encoders.pretraining.data.files import AudioFiles, find_files
from probe_bench.encoders.pretraining.data.shard_writer import write_shards
from probe_bench.encoders.pretraining.data.shards import Shards
from probe_bench.encoders.pretraining.data.sources import Joined, Source, join, plan
from probe_bench.encoders.pretraining.data.tape import Tape, load_tape
from probe_bench.encoders.pretraining.data.words import open_sources
from probe_bench.errors import AudioError, CorpusError, UserError

RATE_HZ = 16_000
FORMATS: list[
    tuple[str, int, int, float, dict[str, Any]]
] = [  # suffix, rate, channels, seconds, how soundfile writes it
    ("wav", 16_000, 1, 1.5, {}),
    ("wav", 44_100, 2, 2.0, {"subtype": "PCM_24"}),
    ("flac", 22_050, 1, 3.1, {}),
    ("wav", 8_000, 3, 2.5, {"subtype": "FLOAT"}),
    ("flac", 48_000, 2, 1.7, {}),
    ("ogg", 44_100, 1, 13.0, {"format": "OGG", "subtype": "VORBIS"}),
    ("opus", 48_000, 2, 2.3, {"format": "OGG", "subtype": "OPUS"}),
    ("mp3", 22_050, 1, 8.0, {"bitrate_mode": "CONSTANT", "compression_level": 0.9}),
    ("wav", 11_025, 1, 0.3, {}),
]


def noise(seconds: float, rate_hz: int, channels: int, seed: int) -> np.ndarray:
    """Noise that is loud and soft by turns, so that a wrong place or phase shows."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    level = np.interp(np.arange(n), np.linspace(0, n, 23), rng.uniform(0.01, 0.3, 23))
    return rng.standard_normal((n, channels)).clip(-3, 3) * level[:, None]


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for i, (suffix, rate_hz, channels, seconds, how) in enumerate(FORMATS):
        samples = noise(seconds, rate_hz, channels, i)
        soundfile.write(folder / f"{i}.{suffix}", samples, rate_hz, **how)
    return sorted(folder.iterdir())


def whole(paths: list[Path]) -> torch.Tensor:
    """Decode and resample everything: the slow way to the same tape."""
    return torch.cat([audio.load(path, RATE_HZ) for path in paths])


def planned(source: Source, rule: CropRule, step: int, seed: int = 0) -> np.ndarray:
    return plan(source, rule, seed=seed, step=step, rng=np.random.default_rng((seed, step)))


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_crops_are_cuts_of_the_wholly_resampled_recordings(
    recordings: list[Path], tmp_path: Path, kind: str
) -> None:
    tape = whole(recordings)
    source: Source = AudioFiles.open(recordings, RATE_HZ)
    if kind == "shards":
        tars = write_shards(recordings, tmp_path / "tars", shard_bytes=200_000, seed=None)
        assert len(tars) > 2
        source = Shards.open(tars, RATE_HZ, tmp_path / "cache")
    assert (source.n_clips, source.n_samples) == (len(recordings), len(tape))
    # From the first sample to the last, across every join, and short enough to miss every margin.
    for crop_samples in (1, 8_000, 70_000):
        last = len(tape) - crop_samples
        cuts = np.unique([*range(0, last, 19_387), last])
        crops = source.read(cuts, crop_samples)
        expected = torch.stack([tape[cut : cut + crop_samples] for cut in cuts])
        torch.testing.assert_close(crops, expected, atol=2e-6, rtol=0)


def test_several_crops_of_a_clip_lie_in_its_excerpt_and_are_decoded_once(
    recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = AudioFiles.open(recordings, RATE_HZ)
    rule = CropRule(batch=32, crop_samples=4_000, crops_per_clip=8, excerpt_samples=12_000)
    decoded: list[int] = []
    decode = AudioFiles._decode

    def counting(source: AudioFiles, clip: int, first: int, n: int) -> torch.Tensor:
        decoded.append(clip)
        return decode(source, clip, first, n)

    monkeypatch.setattr(AudioFiles, "_decode", counting)
    cuts = planned(source, rule, step=3)
    crops = source.read(cuts, rule.crop_samples)
    tape = whole(recordings)
    expected = torch.stack([tape[cut : cut + 4_000] for cut in cuts])
    torch.testing.assert_close(crops, expected, atol=2e-6, rtol=0)
    assert len(decoded) <= 4  # clips drawn, not crops
    spread = np.ptp(cuts.reshape(4, 8), axis=1)
    assert (spread <= 12_000 - 4_000).all()
    assert spread.max() > 2_000


def test_excerpts_and_crops_are_uniform() -> None:
    timeline = Timeline(name="", lengths=np.array([5, 10_000, 20_000]))
    rule = CropRule(batch=40_000, crop_samples=100, crops_per_clip=2, excerpt_samples=1_000)
    clips = timeline.draw_clips(rule.clips, np.random.default_rng(0))
    share = np.bincount(clips, minlength=3) / len(clips)
    np.testing.assert_allclose(share, timeline.lengths / 30_005, atol=0.01)
    cuts = timeline.cuts(clips, rule, np.random.default_rng(1)).reshape(-1, 2)
    long = cuts[clips == 2] - 10_005
    assert long.min() >= 0
    assert long.max() <= 20_000 - 100
    # Position = U(0, 19 000) + U(0, 900): mean and variance of the sum.
    assert long.mean() == pytest.approx(9_950, rel=0.02)
    assert long.var() == pytest.approx((19_000**2 + 900**2) / 12, rel=0.03)
    # Two crops of one excerpt differ by the difference of two U(0, 900).
    assert np.diff(long, axis=1).var() == pytest.approx(2 * 900**2 / 12, rel=0.05)


def test_tape_draws_what_it_drew_before() -> None:
    """The bundled checkpoints were trained on these draws; masks come from the generator's next."""
    lengths = np.array([30, 500, 7, 1_200])
    samples = np.arange(lengths.sum(), dtype=np.int16)
    starts = np.cumsum([0, *lengths[:-1]])
    tape = Tape(samples=samples, lengths=lengths)
    for step in range(20):
        rng = np.random.default_rng((5, step))
        clips = rng.choice(4, size=64, p=lengths / lengths.sum())
        room = np.maximum(lengths[clips] - 100, 0)
        first = starts[clips] + (rng.random(64) * (room + 1)).astype(np.int64)
        expected = np.minimum(first, len(samples) - 100)

        ours = np.random.default_rng((5, step))
        cuts = plan(tape, CropRule(batch=64, crop_samples=100), seed=5, step=step, rng=ours)
        np.testing.assert_array_equal(cuts, expected)
        assert ours.random() == rng.random()
        crops = np.stack([samples[cut : cut + 100] for cut in cuts])
        np.testing.assert_array_equal((tape.read(cuts, 100) * 32767).round(), crops)


def test_joined_sources_share_turns_by_length_and_lose_no_turn() -> None:
    def tape(n: int, value: int) -> Tape:
        return Tape(samples=np.full(n, value, dtype=np.int16), lengths=np.array([n]))

    class Counting(Tape):
        turns: list[int]

        def draw(
            self, turns: np.ndarray, rule: CropRule, *, seed: int, rng: np.random.Generator
        ) -> np.ndarray:
            self.turns.extend(turns.tolist())
            return super().draw(turns, rule, seed=seed, rng=rng)

    parts = []
    for n in (100, 1_000, 3_000):
        part = Counting(**vars(tape(n, n)))
        object.__setattr__(part, "turns", [])
        parts.append(part)
    source = join(parts)
    assert isinstance(source, Joined)
    rule = CropRule(batch=60, crop_samples=10, crops_per_clip=2)
    seen = np.concatenate([planned(source, rule, step) for step in range(400)])
    drawn = np.array([len(part.turns) for part in parts])
    assert drawn.sum() == 400 * 30
    np.testing.assert_allclose(
        drawn / drawn.sum(), np.array([100, 1_000, 3_000]) / 4_100, atol=5e-3
    )
    for part in parts:
        assert sorted(part.turns) == list(range(len(part.turns)))
    values = source.read(seen[:60], 10) * 32767
    owner = np.searchsorted([100, 1_100], seen[:60], side="right")
    expected = torch.tensor([100.0, 1_000, 3_000])[torch.from_numpy(owner)]
    torch.testing.assert_close(values, expected[:, None].expand(-1, 10))
    assert source.n_clips == 3
    assert source.digest() != Joined(sources=tuple(parts[::-1])).digest()


def test_words_open_folders_manifests_tars_and_braces(
    recordings: list[Path], tmp_path: Path
) -> None:
    nested = tmp_path / "nested"
    (nested / "a").mkdir(parents=True)
    (nested / "linked").symlink_to(recordings[0].parent)
    (nested / "a" / "again").symlink_to(nested)  # a loop
    soundfile.write(nested / "a" / "one.WAV", noise(1, RATE_HZ, 1, 0), RATE_HZ)
    (nested / "a" / "notes.txt").write_text("no audio")
    (nested / "a" / "._one.wav").write_bytes(b"left by a file manager")
    assert [path.name for path in find_files(nested)] == [
        "one.WAV",
        *(path.name for path in recordings),
    ]
    manifest = tmp_path / "some.csv"
    manifest.write_text("path,speaker\nrecordings/1.wav,a\nrecordings/0.wav,b\n")
    tars = write_shards(recordings, tmp_path / "tars", shard_bytes=200_000)
    pattern = str(tmp_path / "tars" / f"shards-{{000000..{len(tars) - 1:06d}}}.tar")

    def opened(*words: object) -> Source:
        return open_sources([str(word) for word in words], RATE_HZ, tmp_path / "cache")

    assert opened(nested).n_clips == len(recordings) + 1
    listed = opened(manifest)
    assert isinstance(listed, AudioFiles)
    assert listed.paths == (str(recordings[1]), str(recordings[0]))
    assert listed.digest() == opened(tmp_path / "recordings" / "{1,0}.wav").digest()
    assert opened(pattern).digest() == opened(tmp_path / "tars").digest()
    both = opened(manifest, pattern)
    assert both.n_clips == len(recordings) + 2
    assert both.n_samples == listed.n_samples + opened(pattern).n_samples


def test_the_digest_follows_the_audio_and_not_its_place(
    recordings: list[Path], tmp_path: Path
) -> None:
    digest = AudioFiles.open(recordings, RATE_HZ).digest()
    moved = recordings[0].parent.rename(tmp_path / "moved")
    there = sorted(moved.iterdir())
    assert AudioFiles.open(there, RATE_HZ).digest() == digest
    assert AudioFiles.open(there[:-1], RATE_HZ).digest() != digest
    soundfile.write(there[0], noise(1.6, RATE_HZ, 1, 0), RATE_HZ)
    assert AudioFiles.open(there, RATE_HZ).digest() != digest


def refused(words: list[str], folder: Path) -> str:
    with pytest.raises(UserError) as error:
        open_sources(words, RATE_HZ, folder / "cache")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_words_that_name_no_audio_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty}: no audio found" in refused([str(empty)], tmp_path)
    assert "gone: not found" in refused([str(tmp_path / "gone")], tmp_path)
    (tmp_path / "a.tar.gz").write_bytes(b"")
    assert "decompress" in refused([str(tmp_path / "a.tar.gz")], tmp_path)
    (tmp_path / "list.csv").write_text("file\na.wav\n")
    assert "expected a column path" in refused([str(tmp_path / "list.csv")], tmp_path)
    (tmp_path / "list.csv").write_text("path\na.wav\n")
    assert "1 of 1 files are missing" in refused([str(tmp_path / "list.csv")], tmp_path)
    assert "no words given" in refused([], tmp_path)
    with pytest.raises(CorpusError, match="none given"):
        AudioFiles.open([], RATE_HZ)
    with pytest.raises(CorpusError, match="none given"):
        Shards.open([], RATE_HZ, tmp_path)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda path: path.write_bytes(b"RIFF but not really"), "not readable as audio"),
        (lambda path: soundfile.write(path, np.zeros(0), RATE_HZ), "0 samples"),
        (lambda path: soundfile.write(path, np.zeros(9), 100), "sample rate 100 Hz"),
    ],
)
def test_files_with_unusable_headers_are_named(
    tmp_path: Path, spoil: Callable[[Path], object], found: str
) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    soundfile.write(folder / "good.wav", noise(1, RATE_HZ, 1, 0), RATE_HZ)
    spoil(folder / "bad.wav")
    message = refused([str(folder)], tmp_path)
    assert message.startswith(f"{folder / 'bad.wav'}: {found}")


def test_bad_recordings_can_be_left_out_and_are_listed(
    recordings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [tmp_path / f"bad{i}.wav" for i in range(2)]
    for path in bad:
        path.write_bytes(b"RIFF but not really")
    mixed = [recordings[0], bad[0], *recordings[1:], bad[1]]
    good = AudioFiles.open(recordings, RATE_HZ)
    files = AudioFiles.open(mixed, RATE_HZ, skip_bad=True)
    assert files.digest() == good.digest()
    assert [line.split(": ")[0] for line in files.left_out] == [str(path) for path in bad]

    # Ours packs no such recordings; other packers do.
    with monkeypatch.context() as patch:
        patch.setattr(shard_writer.AudioFiles, "open", lambda *_: None)
        tars = write_shards(mixed, tmp_path / "tars", shard_bytes=200_000, seed=None)
        tars += write_shards(bad, tmp_path / "hopeless")  # a whole tar without one that is usable
    for _ in range(2):  # scanned, then from the cache
        source = open_sources([str(t) for t in tars], RATE_HZ, tmp_path / "cache", skip_bad=True)
        assert source.n_samples == good.n_samples
        assert [line.split(": ")[0].split("/")[-1] for line in source.left_out] == [
            "000000001.wav",
            "000000010.wav",
            "000000000.wav",
            "000000001.wav",
        ]
        assert isinstance(source, Shards)
        order = source.order(np.arange(len(recordings)), seed=0)
        assert sorted(order) == list(range(len(recordings)))
        cuts = np.arange(0, good.n_samples - 4_000, 30_011)
        torch.testing.assert_close(source.read(cuts, 4_000), good.read(cuts, 4_000))
    for words in (bad, tars[-1:]):
        with pytest.raises(AudioError, match="not readable as audio"):
            open_sources([str(w) for w in words], RATE_HZ, tmp_path / "cache", skip_bad=True)
    both = join([files, source])
    assert both.left_out == (*files.left_out, *source.left_out)


def test_damage_within_a_file_is_named_when_it_is_reached(tmp_path: Path) -> None:
    path = tmp_path / "bad.wav"
    samples = noise(1, RATE_HZ, 1, 0)
    samples[12_000] = np.nan
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    source = AudioFiles.open([path], RATE_HZ)
    assert source.read(np.array([0]), 8_000).isfinite().all()
    with pytest.raises(AudioError, match=r"bad\.wav: NaN or infinite samples between 0\.62 and 1"):
        source.read(np.array([10_000]), 6_000)
    soundfile.write(path, samples[:9_000], RATE_HZ)
    with pytest.raises(AudioError, match=r"bad\.wav: ends before sample 16000"):
        source.read(np.array([0]), 16_000)
    path.unlink()
    with pytest.raises(AudioError, match="not readable as audio"):
        source.read(np.array([0]), 8_000)


def test_too_little_audio_and_impossible_rules_are_refused(
    make_corpus: Callable[..., Corpus],
) -> None:
    corpus = make_corpus([0.2, 0.3])
    source = AudioFiles.open([clip.path for clip in corpus], RATE_HZ, name="WORDS")
    with pytest.raises(CorpusError, match="WORDS: 8000 samples of audio in all; expected at least"):
        planned(source, CropRule(batch=2, crop_samples=8_001), step=0)
    assert planned(source, CropRule(batch=2, crop_samples=8_000), step=0).tolist() == [0, 0]
    with pytest.raises(UserError, match="expected a divisor of the batch"):
        CropRule(batch=9, crop_samples=10, crops_per_clip=8)
    with pytest.raises(UserError, match="expected at least one crop of 10"):
        CropRule(batch=8, crop_samples=10, crops_per_clip=8, excerpt_samples=9)


def test_every_source_can_be_sent_to_a_worker(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus([1.0, 1.5])
    paths = [clip.path for clip in corpus]
    tars = write_shards(paths, tmp_path / "tars")
    source = join(
        [
            load_tape([corpus], RATE_HZ, 100),
            AudioFiles.open(paths, RATE_HZ),
            Shards.open(tars, RATE_HZ, tmp_path / "cache"),
        ]
    )
    rule = CropRule(batch=64, crop_samples=500)
    cuts = planned(source, rule, step=9)
    sent = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(planned(sent, rule, step=9), cuts)
    assert torch.equal(sent.read(cuts, 500), source.read(cuts, 500))
