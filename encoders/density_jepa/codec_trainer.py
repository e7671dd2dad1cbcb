"""Second stage, step by step: the decoder learns, then the discriminators do."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

from probe_bench.encoders.density_jepa.codec import Codec, CodecRecipe
from probe_bench.encoders.density_jepa.discriminators import Discriminators
from probe_bench.encoders.density_jepa.fsq import codes_of
from probe_bench.encoders.density_jepa.waveform_losses import (
    adversarial_loss,
    discriminator_loss,
    feature_matching,
    stft_distance,
)
from probe_bench.encoders.pretraining.monitors import HEALTHY, Row, effective_rank
from probe_bench.encoders.pretraining.recipe import Recipe

__all__ = ["CodecTrainer", "level_bits"]


@dataclass(frozen=True, kw_only=True)
class CodecTrainer:
    """A codec, its discriminators and their optimisers; all are changed in place by a step.

    Attributes:
        codec: Encoder and decoder.
        discriminators: Judges of the decoded waveform.
        optimiser: Of the decoder, and of the encoder if it is tuned.
        discriminator_optimiser: As said.
        device: Where everything lives.
    """

    codec: Codec
    discriminators: Discriminators
    optimiser: torch.optim.AdamW
    discriminator_optimiser: torch.optim.AdamW
    device: torch.device

    @classmethod
    def start(
        cls, encoder: Recipe, recipe: CodecRecipe, *, seed: int, device: str
    ) -> "CodecTrainer":
        """Initialise both networks from a seed, leaving the global generator as it was."""
        place = torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            codec = Codec(encoder, recipe).to(place)
            discriminators = recipe.discriminators.build().to(place)
        codec.encoder.requires_grad_(recipe.tune_encoder)
        return cls(
            codec=codec,
            discriminators=discriminators,
            optimiser=_adam(codec, recipe, recipe.lr),
            discriminator_optimiser=_adam(discriminators, recipe, recipe.discriminator_lr),
            device=place,
        )

    @property
    def recipe(self) -> CodecRecipe:
        """What is trained."""
        return self.codec.recipe

    def step(
        self, step: int, waveform: Float[Tensor, "batch samples"], *, monitored: bool = False
    ) -> Row:
        """Do one step of both and return what is logged; nan stands for what was not computed."""
        waveform = waveform.to(self.device)
        with self._precision():
            decoded, levels = self.codec(waveform)
        # Strided convolutions without the last samples: the tail of a crop has no frame of its own.
        n_samples = min(decoded.shape[-1], waveform.shape[-1])
        decoded, original = decoded[:, :n_samples].float(), waveform[:, :n_samples]
        loss, row = self._codec_loss(step, decoded, original)
        _update(self.optimiser, loss)
        row["discriminators"] = self._teach_discriminators(step, decoded.detach(), original)
        done: Row = {"step": step + 1, "loss": loss.item(), **row}
        return done | self._monitor(decoded.detach(), original, levels) if monitored else done

    def _codec_loss(self, step: int, decoded: Tensor, original: Tensor) -> tuple[Tensor, Row]:
        recipe = self.recipe
        l1, stft = F.l1_loss(decoded, original), stft_distance(decoded, original)
        row: Row = {"l1": l1.item(), "stft": stft.item()}
        loss = l1 + recipe.stft_weight * stft
        if step < recipe.adversarial_from:
            return loss, row | {"adversarial": math.nan, "features": math.nan}
        # The judges' own gradients would be thrown away.
        self.discriminators.requires_grad_(False)
        with self._precision():
            judged = self.discriminators(decoded)
            with torch.no_grad():
                wanted = self.discriminators(original)
        self.discriminators.requires_grad_(True)
        adversarial, features = adversarial_loss(judged), feature_matching(wanted, judged)
        row |= {"adversarial": adversarial.item(), "features": features.item()}
        return loss + recipe.adversarial_weight * (adversarial + features), row

    def _teach_discriminators(self, step: int, decoded: Tensor, original: Tensor) -> float:
        if step < self.recipe.discriminators_from:
            return math.nan
        with self._precision():
            loss = discriminator_loss(self.discriminators(original), self.discriminators(decoded))
        _update(self.discriminator_optimiser, loss)
        return loss.item()

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        enabled = self.recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            yield

    @torch.no_grad()
    def _monitor(self, decoded: Tensor, original: Tensor, levels: Tensor) -> Row:
        """Bits that a dimension really carries, effective rank of the codes, level of the output."""
        bits = level_bits(levels, max(self.recipe.tokens.levels))
        loudness = (decoded.square().mean().sqrt() / original.square().mean().sqrt()).item()
        rank = effective_rank(codes_of(levels, self.recipe.tokens).flatten(0, 1))
        verdict = "one level" if bits < 0.1 else "silent" if loudness < 0.01 else HEALTHY
        return {"level_bits": bits, "rank_codes": rank, "loudness": loudness, "verdict": verdict}

    def tensors(self) -> dict[str, Tensor]:
        """Everything a later process needs to go on, by part and name."""
        state: dict[str, Tensor] = {}
        for part, (module, optimiser) in self._parts.items():
            state |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
            for name, parameter in module.named_parameters():
                for moment, value in optimiser.state.get(parameter, {}).items():
                    state[f"optimiser.{part}.{moment}.{name}"] = value
        return state

    def restore_optimisers(self, tensors: dict[str, Tensor]) -> None:
        """Put the moments of both Adams (`optimiser.` tensors of `tensors`) back."""
        for key, value in tensors.items():
            _, part, moment, name = key.split(".", 3)
            module, optimiser = self._parts[part]
            place = torch.device("cpu") if moment == "step" else self.device
            optimiser.state[module.get_parameter(name)][moment] = value.to(place)

    @property
    def _parts(self) -> dict[str, tuple[nn.Module, torch.optim.AdamW]]:
        return {
            "codec": (self.codec, self.optimiser),
            "discriminators": (self.discriminators, self.discriminator_optimiser),
        }


def level_bits(levels: Int[Tensor, "batch frames dims"], n_levels: int) -> float:
    """Entropy of a dimension's levels over a batch in bits, averaged over dimensions."""
    counts = F.one_hot(levels.flatten(0, 1), n_levels).float().mean(0)
    bits: float = torch.special.entr(counts).sum(-1).mean().item() / math.log(2)
    return bits


def _adam(module: nn.Module, recipe: CodecRecipe, lr: float) -> torch.optim.AdamW:
    trained = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=lr, betas=recipe.betas, weight_decay=recipe.weight_decay)


def _update(optimiser: torch.optim.AdamW, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
