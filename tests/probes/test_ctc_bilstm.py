"""BiLSTM CTC heads: torch's own packed LSTM as oracle, and a context that no linear head can use."""

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from probe_bench.encoder import Layer
from probe_bench.probes.ctc import CtcConfig, CtcHead, train_ctc
from probe_bench.probes.ctc_bilstm import BiLstmConfig, _BiLstm, train_bilstm
from probe_bench.probes.recognise import transcribe
from probe_bench.probes.standardise import Standardiser


class Contextual:
    """Every phone is spelt by two frames of codes; which phone a code is depends on its neighbour."""

    encoder = "contextual"
    layers = (
        Layer(name="L1", dim=6, depth=1.0, frame_rate_hz=Fraction(50), first_frame_s=Fraction(0)),
    )

    def __init__(self, n_clips: int) -> None:
        g = torch.Generator().manual_seed(0)
        codes = torch.randn(3, 6, generator=g)
        spelling = {"a": (0, 1), "b": (1, 0), "c": (0, 2), "d": (2, 0)}
        self.sequences: dict[int, tuple[str, ...]] = {}
        self._frames: list[Tensor] = []
        for i in range(n_clips):
            phones = ["abcd"[k] for k in torch.randint(0, 4, (6,), generator=g).tolist()]
            rows: list[int] = []
            for phone in phones:
                first, second = spelling[phone]
                rows += [first, first, second, second]
            self.sequences[i] = tuple(phones)
            x = codes[torch.tensor(rows)]
            self._frames.append(x + 0.1 * torch.randn(x.shape, generator=g))

    def frames(self, layer: int, clips: Sequence[int]) -> list[Tensor]:
        return [self._frames[i] for i in clips]

    def pooled(self, layer: int) -> Tensor: ...
    def n_frames(self, layer: int) -> Tensor: ...


def linear(dim: int, rows: int) -> CtcHead:
    g = torch.Generator().manual_seed(2)
    return CtcHead(
        standardiser=Standardiser(mean=torch.zeros(dim), scale=torch.ones(dim)),
        weight=torch.randn(rows, dim, generator=g),
        bias=torch.randn(rows, generator=g),
        phones=tuple("abcdefgh"[: rows - 1]),
        stride=1,
        held_back=0.0,
        valid_per=1.0,
    )


def test_padded_clips_are_read_as_torch_reads_packed_ones() -> None:
    g = torch.Generator().manual_seed(0)
    frames = [torch.randn(n, 5, generator=g) for n in (7, 3, 12)]
    start = linear(5, 4)
    model = _BiLstm(start, 8, seed=0)
    model.read.weight.data = torch.randn(model.read.weight.shape, generator=g)
    packed = nn.LSTM(5, 8, batch_first=True, bidirectional=True)
    for name, weight in packed.named_parameters():
        own = model.back if name.endswith("_reverse") else model.forth
        weight.data = getattr(own, name.removesuffix("_reverse")).data
    lengths = torch.tensor([len(x) for x in frames])
    padded = pad_sequence(frames, batch_first=True)
    found = model(padded, lengths)
    both, _ = pad_packed_sequence(
        packed(pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False))[0],
        batch_first=True,
    )
    wanted = padded @ start.weight.T + start.bias + both @ model.read.weight.T
    for k, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[k, :n], wanted[k, :n], rtol=1e-4, atol=1e-5)


def test_it_starts_at_the_linear_head_and_draws_nothing_from_the_global_seed() -> None:
    before = torch.random.get_rng_state()
    start = linear(5, 4)
    x = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(1))
    found = _BiLstm(start, 8, seed=0)(x, torch.tensor([9, 9]))
    torch.testing.assert_close(found, x @ start.weight.T + start.bias)
    assert torch.equal(before, torch.random.get_rng_state())


def test_context_is_used_and_the_same_seed_gives_the_same_head() -> None:
    features = Contextual(70)
    parts = range(48), range(48, 58), features.sequences
    (start,) = train_ctc(features, (0,), *parts, seed=0, config=CtcConfig(max_epochs=4))
    config = BiLstmConfig(width=16, epochs=20, steps=1, patience=1.0)
    head, again = (
        train_bilstm(start, features, 0, *parts, seed=0, config=config) for _ in range(2)
    )
    assert head.valid_per < start.valid_per / 3
    assert torch.equal(head.model.read.weight, again.model.read.weight)
    test = list(range(58, 70))
    said = transcribe(head, features, 0, test)
    right = [s == " ".join(features.sequences[i]) for s, i in zip(said, test, strict=True)]
    assert sum(right) >= 8
    beamed = transcribe(head, features, 0, test, beam_width=8)
    assert sum(a == b for a, b in zip(said, beamed, strict=True)) >= 8
