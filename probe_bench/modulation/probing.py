"""Emphasis of every layer of an encoder on a corpus, or the reason why it cannot be measured."""

from probe_bench.corpus import Corpus
from probe_bench.encoder import Encoder
from probe_bench.modulation.emphasis import emphasis
from probe_bench.modulation.responses import NotDeterministicError, respond
from probe_bench.modulation.results import Emphasis, Gain
from probe_bench.modulation.ripples import draw_ripples
from probe_bench.modulation.stretches import Stretches, cut_stretches
from probe_bench.modulation.tones import choose_tones, lacking

__all__ = ["emphasise", "emphasise_stretches"]

_MIN_GROUPS = 3
_MIN_CLIPS = 8
_MIN_S = 1


def emphasise(
    encoder: Encoder, corpus: Corpus, *, seed: int, device: str = "cpu", n_draws: int = 1000
) -> list[Emphasis]:
    """Measure every layer of one encoder: two passes over 160 s of the corpus.

    Args:
        encoder: Hears the audio itself.
        corpus: Where stretches of natural sound are taken from.
        seed: Seed of the ripples' phases and of the bootstrap.
        device: Where to encode.
        n_draws: Bootstrap draws.

    Returns:
        One result a layer, in order.
    """
    stretches = cut_stretches(corpus, encoder)
    return emphasise_stretches(
        encoder.to(device), stretches, seed=seed, device=device, n_draws=n_draws
    )


def emphasise_stretches(
    encoder: Encoder, stretches: Stretches, *, seed: int, device: str = "cpu", n_draws: int = 1000
) -> list[Emphasis]:
    """As `emphasise`, on stretches at hand."""
    rates_hz = [layer.frame_rate_hz for layer in encoder.layers]
    tones = choose_tones(stretches.duration_s, rates_hz)
    reason = _too_little(stretches) or lacking(tones, encoder.layers)
    if reason:
        return _refused(reason, encoder, stretches)
    ripples = draw_ripples(tones, len(stretches.waveform), seed)
    try:
        *layers, reference = respond(encoder, stretches, ripples, device)
    except NotDeterministicError as error:
        return _refused(str(error), encoder, stretches)
    return [
        emphasis(layer, reference, ripples, stretches.group, seed=seed, n_draws=n_draws)
        for layer in layers
    ]


def _too_little(stretches: Stretches) -> str:
    """Say why this audio does not do; empty if it does."""
    if stretches.duration_s < _MIN_S:
        return (
            f"stretches of {float(stretches.duration_s):.2f} s (what half of the speakers have, or "
            f"the encoder's window); at least {_MIN_S} s are needed; use longer clips"
        )
    if len(stretches.waveform) < _MIN_CLIPS:
        return (
            f"{len(stretches.waveform)} stretches of {float(stretches.duration_s):.2f} s; at least "
            f"{_MIN_CLIPS} are needed to tell a response from chance; add clips"
        )
    if stretches.n_groups < _MIN_GROUPS:
        return (
            f"independent groups: {stretches.n_groups}; at least {_MIN_GROUPS} are needed for an "
            "interval; add speakers or recordings"
        )
    return ""


def _refused(reason: str, encoder: Encoder, stretches: Stretches) -> list[Emphasis]:
    none = Gain(reason=reason)
    found = Emphasis(
        weighted=none,
        whitened=none,
        n_clips=len(stretches.waveform),
        n_groups=stretches.n_groups,
    )
    return [found] * len(encoder.layers)
