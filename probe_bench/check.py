"""Try an encoder against the contract of `probe_bench.encoder`, one verdict a line.

What the suites of the field check (sample rate, shapes, frame times; HEAR's validator with noises of
1.07 to 4 s) and what they don't: that features don't depend on the batch or on longer neighbours, and
that frames stand at the times the encoder states.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probe_bench.encoder import Encoder, Layer
from probe_bench.extract import encode_clips
from probe_bench.windows import cut, grid_samples, longest_samples

__all__ = ["Verdict", "check"]

_LENGTHS_S = (1.07, 1.98, 2.74, 4.0)  # those of HEAR's validator
_TOLERANCE = 1e-4  # of float32 features, relative to a layer's root mean square
_NAME = re.compile(r"cnn|in|L[1-9]\d*|out_norm")
_SAMPLE_RATES_HZ = range(4_000, 192_001)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Outcome of one check.

    Attributes:
        name: What was checked.
        passed: Whether the contract holds.
        detail: What was found, for people.
    """

    name: str
    passed: bool
    detail: str


def check(encoder: Encoder, device: str = "cpu") -> list[Verdict]:
    """Run every check on an encoder; some seconds for a small one.

    An encoder that raises fails the check it raised in, and the others go on.
    """
    encoder = encoder.to(device)
    checks: dict[str, Callable[[Encoder, str], tuple[bool, str]]] = {
        "sample rate": _sample_rate,
        "layers": _layers,
        "frame counts": _frame_counts,
        "windows": _windows,
        "timing": _timing,
        "determinism": _determinism,
        "batch invariance": _batch_invariance,
        "padding invariance": _padding_invariance,
        "extreme inputs": _extreme_inputs,
        "speed": _speed,
    }
    return [_verdict(name, run, encoder, device) for name, run in checks.items()]


def _verdict(
    name: str, run: Callable[[Encoder, str], tuple[bool, str]], encoder: Encoder, device: str
) -> Verdict:
    try:
        passed, detail = run(encoder, device)
    except Exception as error:  # noqa: BLE001 (somebody else's encoder may raise anything)
        reason = (str(error).strip().splitlines() or [""])[0]
        return Verdict(name=name, passed=False, detail=f"raised {type(error).__name__}: {reason}")
    return Verdict(name=name, passed=passed, detail=detail)


def _sample_rate(encoder: Encoder, _device: str) -> tuple[bool, str]:
    """A whole number of hertz that audio comes in."""
    rate_hz = encoder.sample_rate_hz
    return isinstance(rate_hz, int) and rate_hz in _SAMPLE_RATES_HZ, f"{rate_hz} Hz"


def _layers(encoder: Encoder, device: str) -> tuple[bool, str]:
    """Canonical unique names, depths in order, and float32 outputs of the stated widths."""
    outputs = encoder.encode(_noise(encoder, 1.98, batch=2).to(device))
    names = [layer.name for layer in encoder.layers]
    odd = [name for name in names if not _NAME.fullmatch(name)]
    depths = [layer.depth for layer in encoder.layers]
    shapes = [(len(tensor), tensor.shape[2], tensor.dtype) for tensor in outputs]
    stated = [(2, layer.dim, torch.float32) for layer in encoder.layers]
    faults = [
        (bool(odd), f"names {odd} are not cnn, in, L1 ... or out_norm"),
        (len(set(names)) < len(names), f"names {names} are not unique"),
        (
            depths != sorted(depths) or not all(0 <= d <= 1 for d in depths),
            f"depths {depths}",
        ),
        (shapes != stated, f"outputs {shapes}, stated {stated} (batch, dim, type)"),
    ]
    found = "; ".join(text for wrong, text in faults if wrong)
    return (
        not found,
        found or f"{', '.join(names)}; dims {sorted({layer.dim for layer in encoder.layers})}",
    )


def _frame_counts(encoder: Encoder, device: str) -> tuple[bool, str]:
    """Frames fill the clip: all centres lie in it, and what is left at its end is under two frames.

    A clip that is cut into windows may lose up to one step of the frame grid more.
    """
    clips = [_noise(encoder, length_s)[0] for length_s in _LENGTHS_S]
    faults, counts = [], []
    for clip, layers in zip(clips, encode_clips(encoder, clips, device), strict=True):
        n_samples = len(clip)
        lost = grid_samples(encoder) if n_samples > longest_samples(encoder) else 0
        counts.append(len(layers[0]))
        for layer, frames in zip(encoder.layers, layers, strict=True):
            hop_s = 1 / layer.frame_rate_hz
            tail_s = (
                n_samples / encoder.sample_rate_hz - layer.first_frame_s - (len(frames) - 1) * hop_s
            )
            most_s = layer.first_frame_s + 2 * hop_s + lost / encoder.sample_rate_hz
            if not 0 <= tail_s <= most_s:
                faults.append(
                    f"{layer.name}: {len(frames)} frames in {n_samples / encoder.sample_rate_hz:g} s leave "
                    f"{float(tail_s):.3f} s after the last centre (0 to {float(most_s):.3f} expected)"
                )
    return not faults, faults[0] if faults else _counted(counts)


def _counted(counts: Sequence[int]) -> str:
    pairs = zip(counts, _LENGTHS_S, strict=True)
    return ", ".join(f"{count} frames in {length_s:g} s" for count, length_s in pairs)


def _windows(encoder: Encoder, device: str) -> tuple[bool, str]:
    """A full window has every frame that is kept of it, so windows join without a gap."""
    longest = longest_samples(encoder)
    if encoder.window_samples is None:
        return (
            True,
            f"clips of any length; cut every {longest / encoder.sample_rate_hz:g} s to bound memory",
        )
    outputs = encoder.encode(_noise(encoder, longest / encoder.sample_rate_hz).to(device))
    *full, _ = cut(3 * longest, encoder)
    wanted = [
        max(window.keep[index].stop for window in full) for index in range(len(encoder.layers))
    ]
    short = [
        f"{layer.name}: {tensor.shape[1]} frames in a window, {stop} needed"
        for layer, tensor, stop in zip(encoder.layers, outputs, wanted, strict=True)
        if tensor.shape[1] < stop
    ]
    fine = f"clips over {longest / encoder.sample_rate_hz:g} s are cut and their frames join"
    return not short, short[0] if short else fine


def _timing(encoder: Encoder, device: str) -> tuple[bool, str]:
    """A click moves the frames that stand nearest to it.

    A click in noise is moved to several places; the clip it is compared with has the same click near
    its end, so that level and statistics over the clip, which some encoders normalise by, are equal.
    Where the change of a layer peaks, less its median over time, is the time it responds to.
    """
    duration_s = min(4.0, longest_samples(encoder) / encoder.sample_rate_hz)
    times_s = [duration_s * fraction / 16 for fraction in range(2, 11)]
    clicks = torch.cat(
        [_click(encoder, duration_s, time_s) for time_s in (0.9 * duration_s, *times_s)]
    )
    errors = {}
    for layer, tensor in zip(encoder.layers, encoder.encode(clicks.to(device)), strict=True):
        moved = (tensor[1:] - tensor[:1]).float().cpu().norm(dim=2)
        errors[layer.name] = _lag_frames(moved, layer, times_s, duration_s)
    worst = max(errors, key=lambda name: abs(errors[name]))
    return (
        abs(errors[worst]) <= 1,
        f"clicks are heard within {abs(errors[worst]):.2f} frames of their time (largest in {worst})",
    )


def _lag_frames(
    moved: Float[Tensor, "clicks frames"], layer: Layer, times_s: Sequence[float], duration_s: float
) -> float:
    """Median distance in frames from where a layer responds to where the click was."""
    rate_hz, first_s = float(layer.frame_rate_hz), float(layer.first_frame_s)
    before_last = max(3, int((0.78 * duration_s - first_s) * rate_hz))
    excess = (moved - moved.median(dim=1, keepdim=True).values).clamp(min=0)[:, :before_last]
    lags = []
    for row, time_s in zip(excess, times_s, strict=True):
        peak = int(row.argmax())
        near = torch.arange(max(0, peak - 2), min(len(row), peak + 3))
        centre = float((near * row[near]).sum() / row[near].sum())
        lags.append(centre - (time_s - first_s) * rate_hz)
    return float(torch.tensor(lags).nan_to_num(math.inf).median())


def _determinism(encoder: Encoder, device: str) -> tuple[bool, str]:
    """Two passes over the same audio give the same bytes."""
    noise = _noise(encoder, 1.07).to(device)
    first, again = encoder.encode(noise), encoder.encode(noise)
    same = all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    worst = max(_differences(encoder.layers, first, again).values())
    return same, "two passes are identical" if same else f"two passes differ by {worst:.1e}"


def _batch_invariance(encoder: Encoder, device: str) -> tuple[bool, str]:
    """A clip's features are the same alone and beside louder clips of the same length."""
    clips = _noise(encoder, 1.98, batch=4) * torch.tensor([0.1, 1.0, 3.0, 9.0])[:, None]
    together = encoder.encode(clips.to(device))
    alone = [encoder.encode(clip[None].to(device)) for clip in clips]
    return _equal(
        encoder.layers,
        [torch.cat([one[index] for one in alone]) for index in range(len(encoder.layers))],
        together,
        "alone and in a batch",
    )


def _padding_invariance(encoder: Encoder, device: str) -> tuple[bool, str]:
    """A clip's features are the same alone and extracted among louder clips and longer ones."""
    clips = [_noise(encoder, length_s)[0] for length_s in _LENGTHS_S]
    clips += [5 * clip for clip in clips]
    together = encode_clips(encoder, clips, device)
    alone = [encode_clips(encoder, [clip], device)[0] for clip in clips]
    outcomes = [
        _equal(encoder.layers, a, b, "alone and among other clips")
        for a, b in zip(alone, together, strict=True)
    ]
    return min(outcomes, key=lambda outcome: outcome[0])


def _extreme_inputs(encoder: Encoder, device: str) -> tuple[bool, str]:
    """Silence, a full-scale square wave and the shortest clip give finite features."""
    rate_hz = encoder.sample_rate_hz
    square = torch.sign(torch.sin(2 * math.pi * 100 * (torch.arange(rate_hz) + 0.5) / rate_hz))
    shortest = _noise(encoder, encoder.min_samples / rate_hz)
    inputs = {
        "silence": torch.zeros(1, rate_hz),
        "full scale": square[None],
        "shortest clip": shortest,
    }
    faults = []
    for name, waveform in inputs.items():
        outputs = encoder.encode(waveform.to(device))
        if not all(bool(tensor.isfinite().all()) for tensor in outputs):
            faults.append(f"{name}: NaN or infinite features")
        if not all(tensor.shape[1] for tensor in outputs):
            faults.append(f"{name}: no frame")
    fine = f"finite for silence, full scale and the shortest clip ({encoder.min_samples} samples)"
    return not faults, "; ".join(faults) or fine


def _speed(encoder: Encoder, device: str) -> tuple[bool, str]:
    """For information: seconds of audio a second, all layers, 8 s of noise."""
    clips = [_noise(encoder, 2.0)[0]] * 4
    start = time.perf_counter()
    encode_clips(encoder, clips, device)
    speed = 8.0 / (time.perf_counter() - start)
    return True, f"{speed:.0f} x real time on {device}; {encoder.n_parameters:,} weights"


def _equal(
    layers: Sequence[Layer], a: Iterable[Tensor], b: Iterable[Tensor], what: str
) -> tuple[bool, str]:
    """Compare two lots of features layer by layer."""
    differences = _differences(layers, a, b)
    worst = max(differences, key=lambda name: differences[name])
    return differences[
        worst
    ] <= _TOLERANCE, f"{what} differ by {differences[worst]:.1e} at most ({worst})"


def _differences(
    layers: Sequence[Layer], a: Iterable[Tensor], b: Iterable[Tensor]
) -> dict[str, float]:
    """Largest difference over the root mean square, by layer; infinite if shapes differ or on NaN."""
    found = {}
    for layer, left, right in zip(layers, a, b, strict=True):
        if left.shape != right.shape:
            found[layer.name] = math.inf
            continue
        scale = left.square().mean().sqrt().clamp(min=1e-12)
        difference = float(((left - right).abs().max() / scale).nan_to_num(math.inf))
        found[layer.name] = difference
    return found


def _noise(encoder: Encoder, duration_s: float, batch: int = 1) -> Float[Tensor, "batch samples"]:
    n_samples = max(encoder.min_samples, round(duration_s * encoder.sample_rate_hz))
    generator = torch.Generator().manual_seed(n_samples)
    return 0.1 * torch.randn(batch, n_samples, generator=generator)


def _click(encoder: Encoder, duration_s: float, time_s: float) -> Float[Tensor, "1 samples"]:
    """Noise with a 2 ms click centred at a time."""
    noise = 0.2 * _noise(encoder, duration_s)
    half = encoder.sample_rate_hz // 1000
    centre = round(time_s * encoder.sample_rate_hz)
    shape = torch.hann_window(2 * half + 1, periodic=False)
    noise[0, centre - half : centre + half + 1] += shape
    return noise
