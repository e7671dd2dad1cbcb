from pathlib import Path

import pytest

from probe_bench.corpus import Clip, Corpus


def corpus(n_speakers: int, n_clips: int) -> Corpus:
    clips = [
        Clip(id=f"{s}-{u}", path=Path("x"), duration_s=1.0, labels={"speaker": f"s{s}"})
        for s in range(n_speakers)
        for u in range(n_clips)
    ]
    return Corpus(name="c", clips=tuple(clips), licence="CC0", revision="1")


@pytest.mark.parametrize(
    ("n", "speakers", "clips"), [(96, 8, 12), (50, 8, 6), (432, 36, 12), (3, 3, 1), (900, 72, 12)]
)
def test_limit_keeps_whole_speakers_from_all_over_the_corpus(
    n: int, speakers: int, clips: int
) -> None:
    kept = corpus(72, 12).limit(n)
    names = [clip.labels["speaker"] for clip in kept]
    assert len(kept) == min(n, 864)
    assert len(set(names)) == speakers
    assert min(names.count(name) for name in set(names)) >= clips
    assert int(names[-1][1:]) - int(names[0][1:]) >= 72 * (speakers - 1) // speakers - 1


def test_limit_without_speakers_is_spread_evenly() -> None:
    clips = tuple(Clip(id=f"{i}", path=Path("x"), duration_s=1.0) for i in range(100))
    kept = Corpus(name="c", clips=clips, licence="CC0", revision="1").limit(10)
    assert [clip.id for clip in kept] == [f"{i}" for i in range(0, 100, 10)]
