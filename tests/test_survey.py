"""A survey finds every unusable clip, counts it, and gives one digest for one content."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from probe_bench.corpus import Corpus, Trial
from probe_bench.errors import AudioError, CorpusError
from probe_bench.survey import survey


@pytest.fixture
def damaged(make_corpus: Callable[..., Corpus]) -> Corpus:
    """Six clips: the second silent, the fourth unreadable, the sixth too short."""
    corpus = make_corpus([0.5, 0.5, 0.5, 0.5, 0.5, 0.01])
    soundfile.write(corpus.clips[1].path, np.zeros(8000), 16000)
    corpus.clips[3].path.write_bytes(b"nothing")
    return corpus


def test_first_bad_clip_stops_and_the_others_are_counted(damaged: Corpus) -> None:
    with pytest.raises(AudioError, match=r"001\.wav: silent.*2 more like it; --skip-bad"):
        survey(damaged, skip_bad=False, shortest_s=0.1)


def test_bad_clips_are_left_out_with_reasons(damaged: Corpus) -> None:
    looked = survey(damaged, skip_bad=True, shortest_s=0.1)
    assert [clip.id for clip in looked.corpus] == ["000", "002", "004"]
    assert looked.n_samples == ((8000, 16000),) * 3
    assert [left.clip for left in looked.left_out] == ["001", "003", "005"]
    for left, reason in zip(looked.left_out, ("silent", "not readable", "0.010 s"), strict=True):
        assert left.reason.startswith(reason)


def test_nothing_left_is_an_error(damaged: Corpus) -> None:
    with pytest.raises(CorpusError, match="none of 6 clips"):
        survey(damaged, skip_bad=True, shortest_s=1.0)


def test_digest_is_of_content_and_labels_not_of_place(
    make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    corpus = make_corpus([0.5, 0.4])
    digest = survey(corpus, skip_bad=False).digest
    shutil.copytree(corpus.clips[0].path.parent, tmp_path / "moved")
    moved = replace(
        corpus, clips=tuple(replace(c, path=tmp_path / "moved" / c.path.name) for c in corpus)
    )
    assert survey(moved, skip_bad=False).digest == digest
    relabelled = replace(corpus, clips=(replace(corpus.clips[0], labels={}), corpus.clips[1]))
    assert survey(relabelled, skip_bad=False).digest != digest
    soundfile.write(moved.clips[1].path, 0.2 * np.ones(6400) * np.hanning(6400), 16000)
    assert survey(moved, skip_bad=False).digest != digest


def test_digest_is_of_official_trials_too(make_corpus: Callable[..., Corpus]) -> None:
    corpus = make_corpus([0.5, 0.5])
    digests = {
        survey(replace(corpus, trials=trials), skip_bad=False).digest
        for trials in ((), *((Trial(same=s, first="000", second="001"),) for s in (True, False)))
    }
    assert len(digests) == 3
