"""Published files as they may come: other prefixes and formats, foreign classes, faults."""

import functools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from probe_bench.encoders.audio_jepa import published as audio_jepa
from probe_bench.encoders.pretraining.inference import load_encoder
from probe_bench.encoders.pretraining.published import read_tensors
from probe_bench.encoders.wavjepa import published as wavjepa
from probe_bench.errors import CheckpointError

from .published_fill import fill_all, golden, unfold_names, waveform

_State = dict[str, Tensor]


@functools.cache
def _filled(name: str) -> _State:
    expected = golden(name)
    return fill_all(unfold_names(expected["tensors"], expected["depths"]))


@pytest.fixture
def audio() -> _State:
    return dict(_filled("audio-jepa-small"))


@pytest.fixture
def wave() -> _State:
    return dict(_filled("wavjepa-small"))


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(state: _State, **extra: object) -> Path:
        torch.save({"state_dict": state, **extra}, tmp_path / "JEPA.ckpt")
        return tmp_path / "JEPA.ckpt"

    return save


def _equal(first: _State, second: _State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_wrappers_names_and_formats_do_not_matter(
    wave: _State, save: Callable[..., Path], tmp_path: Path
) -> None:
    plain = wavjepa.read(save(wave), "")[1]
    compiled = {n.replace("extract_audio.", "extract_audio._orig_mod."): t for n, t in wave.items()}
    assert _equal(wavjepa.read(save(compiled), "")[1], plain)
    parallel = {f"model.module._orig_mod.{n}": t for n, t in wave.items()}
    assert _equal(wavjepa.read(save(parallel), "")[1], plain)
    save_file({f"model.{n}": t for n, t in wave.items()}, tmp_path / "model.safetensors")
    assert _equal(wavjepa.read(tmp_path / "model.safetensors", "")[1], plain)
    torch.save(wave, tmp_path / "pytorch_model.bin")
    assert _equal(wavjepa.read(tmp_path / "pytorch_model.bin", "")[1], plain)


def test_half_precision_becomes_float32(wave: _State, save: Callable[..., Path]) -> None:
    tensors = wavjepa.read(save({n: t.half() for n, t in wave.items()}), "")[1]
    assert {t.dtype for t in tensors.values()} == {torch.float32}


def test_an_exported_student_alone_loads(wave: _State, save: Callable[..., Path]) -> None:
    beside = ("teacher_encoder.", "decoder", "mask_token", "encoder_to", "pos_encoding_decoder")
    student = {n: t for n, t in wave.items() if not n.startswith(beside)}
    path = save(student)
    assert wavjepa.read(path, "")[0].export == "student"
    with pytest.raises(CheckpointError, match=r"no tensors of teacher_encoder\..* found #student"):
        wavjepa.read(path, "teacher")


def test_names_of_flash_attention_are_the_same_tensors(
    audio: _State, save: Callable[..., Path]
) -> None:
    later = {
        n.replace("attn.qkv.", "attn.Wqkv.").replace("attn.proj.", "attn.out_proj."): t
        for n, t in audio.items()
    }
    assert later.keys() != audio.keys()
    first = audio_jepa.read(save(audio), "student")[1]
    assert _equal(audio_jepa.read(save(later), "student")[1], first)


def test_absent_query_key_value_biases_are_zero(audio: _State, save: Callable[..., Path]) -> None:
    without = {n: t for n, t in audio.items() if not n.endswith("attn.qkv.bias")}
    tensors = audio_jepa.read(save(without), "student")[1]
    assert tensors["transformer.blocks.1.qkv.bias"].tolist() == [0.0] * 384
    del audio["encoder.blocks.1.attn.qkv.bias"]
    with pytest.raises(CheckpointError, match=r"missing: encoder\.blocks\.1\.attn\.qkv\.bias;"):
        audio_jepa.read(save(audio), "student")


def test_a_shared_stem_serves_both_microphones(save: Callable[..., Path]) -> None:
    state = dict(_filled("wavjepa-nat-small"))
    shared = {n: t for n, t in state.items() if not n.startswith("extract_audio.cnns.1.")}
    recipe, tensors = wavjepa.read(save(shared), "")
    assert (recipe.system, recipe.grid.tokens) == ("wavjepa-nat", 400)
    for kernel in ("convs.0.weight", "convs.5.weight", "first_norm.bias"):
        first, second = tensors[f"frontend.{kernel}"].chunk(2)
        assert torch.equal(first, second)
    del state["extract_audio.cnns.1.3.0.weight"]
    with pytest.raises(CheckpointError, match=r"extract_audio\.cnn\.3\.0\.weight"):
        wavjepa.read(save(state), "")


def test_unknown_missing_and_misshapen_tensors_are_all_listed(
    audio: _State, save: Callable[..., Path]
) -> None:
    audio["encoder.extra"] = torch.zeros(1)
    audio["head.weight"] = torch.zeros(1)
    del audio["encoder.norm.bias"], audio["encoder.blocks.0.mlp.fc2.bias"]
    audio["encoder.blocks.1.attn.proj.weight"] = torch.zeros(128, 64)
    with pytest.raises(CheckpointError) as failure:
        audio_jepa.read(save(audio), "student")
    message = str(failure.value)
    for part in (
        "missing: encoder.norm.bias, encoder.blocks.0.mlp.fc2.bias;",
        "unknown: encoder.extra, head.weight;",
        "of wrong shape: encoder.blocks.1.attn.proj.weight (128, 64) (expected (128, 128));",
        "give the authors' file",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["predictor.extra", "target_encoder.norm.bias"])
def test_what_stands_beside_the_encoder_is_not_looked_at(
    name: str, audio: _State, save: Callable[..., Path]
) -> None:
    audio[name] = torch.zeros(3)
    assert "transformer.norm.bias" in audio_jepa.read(save(audio), "student")[1]


def test_files_of_other_systems_are_refused(
    audio: _State, wave: _State, save: Callable[..., Path]
) -> None:
    with pytest.raises(CheckpointError, match=r"no tensor pos_encoding_encoder, found names like"):
        wavjepa.read(save(audio), "")
    with pytest.raises(CheckpointError, match=r"no tensor encoder\.blocks\.0\.mlp\.fc1\.weight"):
        audio_jepa.read(save(wave), "")
    audio["encoder.pos_embed"] = torch.zeros(1, 100, 128)
    with pytest.raises(CheckpointError, match=r"100 patches; expected 128 or 192"):
        audio_jepa.read(save(audio), "student")
    with pytest.raises(CheckpointError, match=r"no tensors of encoder\."):
        wavjepa.read(save({"weight": torch.zeros(1)}), "")


def test_a_width_that_64_does_not_divide_is_refused(save: Callable[..., Path]) -> None:
    state = {n: t[..., :100] for n, t in _filled("audio-jepa-small").items()}
    with pytest.raises(CheckpointError, match=r"width 100; expected a multiple of 64"):
        audio_jepa.read(save(state), "student")


def test_missing_damaged_and_empty_files_are_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no\.ckpt: no such file"):
        read_tensors(tmp_path / "no.ckpt")
    for name in ("noise.ckpt", "noise.bin", "noise.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 not an archive" * 9)
        with pytest.raises(
            CheckpointError, match=r"not a torch file.*download it again"
        ) as failure:
            read_tensors(tmp_path / name)
        assert "\n" not in str(failure.value)
    torch.save({"state_dict": {}}, tmp_path / "empty.ckpt")
    with pytest.raises(CheckpointError, match=r"no tensors found"):
        read_tensors(tmp_path / "empty.ckpt")


class _Foreign:
    """Stands for a class of the authors' own package in the hyper-parameters of a checkpoint."""

    ran: list[str] = []  # noqa: RUF012 - what unpickling would have run

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return self.ran.append, ("unpickled",)

    def __setstate__(self, state: object) -> None:
        self.ran.append("state set")


class _Stateful(_Foreign):
    __reduce__ = object.__reduce__


def test_foreign_classes_in_a_checkpoint_are_neither_needed_nor_run(
    wave: _State, save: Callable[..., Path]
) -> None:
    stateful = _Stateful()
    stateful.lr = 1e-3  # type: ignore[attr-defined]
    optimiser = functools.partial(torch.optim.AdamW, lr=1e-3)
    path = save(
        wave,
        hyper_parameters={"activation": torch.nn.GELU(), "rule": stateful, "optimizer": optimiser},
        callbacks={Path: [1]},
    )
    assert "transformer.norm.bias" in wavjepa.read(path, "")[1]
    assert _Foreign.ran == []


def test_what_torch_cannot_read_without_code_is_refused_with_a_way_out(
    wave: _State, save: Callable[..., Path]
) -> None:
    path = save(wave, hyper_parameters=defaultdict(list, lr=[1e-3]))
    with pytest.raises(CheckpointError, match=r"running its code;.*save its state_dict alone"):
        wavjepa.read(path, "")


@pytest.mark.parametrize(
    ("system", "name", "default", "frames", "dims"),
    [
        ("audio-jepa", "audio-jepa-small", "teacher", 16, (1024,)),
        ("wavjepa", "wavjepa-small", "student", 200, (32, 128)),
        ("wavjepa-nat", "wavjepa-nat-small", "student", 200, (64, 256)),
    ],
)
def test_the_command_line_s_names_reach_the_files(
    system: str,
    name: str,
    default: str,
    frames: int,
    dims: tuple[int, ...],
    save: Callable[..., Path],
) -> None:
    path = save(_filled(name))
    encoders = {
        which: load_encoder(system, f"{path}{which}", None)
        for which in ("", "#student", "#teacher")
    }
    prints = {which: encoder.fingerprint for which, encoder in encoders.items()}
    assert prints[""] == prints[f"#{default}"]
    assert len(set(prints.values())) == 2
    encoder = encoders[""]
    audio = waveform(1, encoder.window_samples or 0, encoder.sample_rate_hz)
    outputs = encoder.encode(audio)
    assert tuple(dict.fromkeys(layer.dim for layer in encoder.layers)) == dims
    assert [x.shape[1:] for x in outputs] == [(frames, layer.dim) for layer in encoder.layers]
    assert load_encoder(system, str(path), 1).fingerprint not in prints.values()
