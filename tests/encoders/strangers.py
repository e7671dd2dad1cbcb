"""Other suites' rules, run on exported folders in a process that cannot import probe-bench.

`python strangers.py SUITE,... FOLDER ...`: every FOLDER holds `expected.pt` (what `encode_clips` gives)
and one folder a format. The rules are those of hear-validator's `validate.py`, X-ARES'
`audio_encoder_checker.py` and `utils.py`, and S3PRL's `nn/upstream.py`.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

PLAIN = ("probe_bench", "jaxtyping", "torchaudio", "safetensors", "transformers")
BLOCKED = {
    **dict.fromkeys(("hear", "xares", "s3prl", "torchscript"), PLAIN),
    "transformers": ("probe_bench", "jaxtyping", "torchaudio"),
    "onnx": ("probe_bench", "jaxtyping", "torch"),
}


def fresh(folder: Path, name: str) -> Any:
    """Import a module of a folder as the first of its name."""
    sys.modules.pop(name, None)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def expected(folder: Path) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - not for onnx

    return dict(torch.load(folder / "expected.pt", weights_only=True))


def close(got: Any, wanted: Any, what: object) -> None:
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape, (what, got.shape, wanted.shape)
    assert np.abs(got - wanted).max() < 1e-4, (what, np.abs(got - wanted).max())


def hear(folder: Path) -> None:
    import torch  # noqa: PLC0415

    api = fresh(folder / "hear", "hear_jepa")
    model = api.load_model()
    assert torch.nn.Module in type(model).__mro__
    assert model.sample_rate in {16000, 22050, 32000, 44100, 48000}
    assert isinstance(model.scene_embedding_size, int)
    assert isinstance(model.timestamp_embedding_size, int)
    for length_s in (1.07, 1.98, 4.0):
        audio = torch.rand(2, int(length_s * model.sample_rate)) * 2 - 1
        embeddings, times = api.get_timestamp_embeddings(audio, model)
        assert embeddings.dtype == torch.float32
        assert embeddings.ndim == 3
        assert embeddings.shape[:2] == times.shape
        assert len(embeddings) == 2
        assert embeddings.shape[2] == model.timestamp_embedding_size
        gaps, end_ms = np.diff(times.numpy()), 1000 * length_s
        assert np.abs(gaps - gaps.mean()).max() <= 1
        assert times.min() <= gaps.mean()
        assert end_ms - 2 * gaps.mean() <= times.max() <= end_ms
    scenes = api.get_scene_embeddings(torch.rand(4, int(2.74 * model.sample_rate)) * 2 - 1, model)
    assert scenes.dtype == torch.float32
    assert scenes.shape == (4, model.scene_embedding_size)

    want = expected(folder)
    by_path = api.load_model(str(folder / "hear" / "weights.pt"))
    for clip, layers in zip(want["clips"], want["features"], strict=True):
        embeddings, times = api.get_timestamp_embeddings(clip[None], by_path)
        close(embeddings[0], layers["out_norm"], ("hear", len(clip)))
        scene = api.get_scene_embeddings(clip[None], by_path)
        close(scene[0], layers["out_norm"].mean(0), ("hear scene", len(clip)))
        at = 1000 * (want["first_frame_s"] + np.arange(times.shape[1]) * want["hop_s"])
        heard_ms = 1000 * len(clip) / model.sample_rate
        assert np.abs(times[0].numpy() - np.minimum(at, heard_ms)).max() < 0.01


def xares(folder: Path) -> None:
    import torch  # noqa: PLC0415

    module = fresh(folder / "xares", "xares_jepa")
    names = [name for name in dir(module) if name.endswith("Encoder")]
    assert len(names) == 1, names
    encoder = getattr(module, names[0])()
    assert isinstance(encoder, torch.nn.Module)
    assert type(encoder).__name__.endswith("Encoder")
    audio = torch.randn(2, 50000)
    encoded = encoder(audio)
    assert isinstance(encoded, torch.Tensor)
    assert encoded.ndim == 3
    assert len(encoded) == 2
    assert encoded.shape[2] == encoder.output_dim
    want = expected(folder)
    assert encoder.sampling_rate == want["rate"]
    assert abs(encoder.hop_size_in_ms - 1000 * want["hop_s"]) < 1e-9
    assert not encoded.requires_grad
    if folder.name == "jepa-v0":  # the cheapest hears what X-ARES gives at most
        frames = encoder(torch.randn(1, 600 * want["rate"])).shape[1]
        assert 600 - 2 * want["hop_s"] <= frames * want["hop_s"] <= 600
    for clip, layers in zip(want["clips"], want["features"], strict=True):
        wanted = torch.cat([layers["L1"], layers["out_norm"]], dim=1)
        close(encoder(clip[None])[0], wanted, ("xares", len(clip)))


def s3prl(folder: Path) -> None:
    import torch  # noqa: PLC0415

    name = folder.name.replace("-", "_")
    upstream = torch.hub.load(str(folder / "s3prl"), f"random_{name}", source="local")
    stride = upstream.get_downsample_rates("hidden_states")
    assert type(stride) is int
    want = expected(folder)
    wavs = [torch.randn(16000), *want["clips"]]
    hidden = upstream(wavs)["hidden_states"]
    assert len({state.shape for state in hidden}) == 1
    assert hidden[0].shape[0] == len(wavs)
    longest = max(map(len, wavs))
    assert abs(hidden[0].shape[1] - round(longest / stride)) <= 5  # S3PRL's tolerance
    names = upstream.model.layer_names
    assert names == [n for n in want["features"][0] if n != "cnn"]
    for row, layers in enumerate(want["features"], start=1):
        for state, layer in zip(hidden, names, strict=True):
            n = len(layers[layer])
            close(state[row, :n], layers[layer], ("s3prl", layer, len(wavs[row])))
            assert not state[row, n:].any()


def torchscript(folder: Path) -> None:
    import torch  # noqa: PLC0415

    program = torch.jit.load(folder / "torchscript" / "encoder.pt")  # type: ignore[no-untyped-call]
    want = expected(folder)
    assert "Device" not in str(program.piece.inlined_graph)  # it runs where its weights are
    assert program.layer_names == list(want["features"][0])
    assert program.sample_rate_hz == want["rate"]
    assert abs(program.first_frame_s - want["first_frame_s"]) < 1e-9
    assert abs(1 / program.frame_rate_hz - want["hop_s"]) < 1e-9
    for clip, layers in zip(want["clips"], want["features"], strict=True):
        batch = program(torch.stack([clip, clip.flip(0), clip]))
        for got, (name, wanted) in zip(batch, layers.items(), strict=True):
            close(got[0], wanted, ("torchscript", name, len(clip)))
            close(got[2], wanted, ("torchscript", name, len(clip)))


def transformers(folder: Path) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel  # noqa: PLC0415

    path = str(folder / "transformers")
    model = AutoModel.from_pretrained(path, trust_remote_code=True).eval()
    config = AutoConfig.from_pretrained(path, trust_remote_code=True)
    extractor = AutoFeatureExtractor.from_pretrained(path)
    want = expected(folder)
    assert config.sampling_rate == extractor.sampling_rate == want["rate"]
    clips = [clip.numpy() for clip in want["clips"]]
    inputs = extractor(clips, sampling_rate=want["rate"], padding=True, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, output_hidden_states=True)
        alone = [model(clip[None]) for clip in want["clips"]]
    assert len(outputs.hidden_states) == config.num_hidden_layers + 1
    assert outputs.last_hidden_state.shape[2] == config.hidden_size
    counts = model._get_feat_extract_output_lengths(inputs["attention_mask"].sum(1))
    for row, layers in enumerate(want["features"]):
        n = len(layers["out_norm"])
        assert n == counts[row]
        close(outputs.last_hidden_state[row, :n], layers["out_norm"], ("transformers", row))
        close(alone[row].last_hidden_state[0], layers["out_norm"], ("transformers alone", row))
        assert alone[row].hidden_states is None
        assert not outputs.last_hidden_state[row, n:].any()
        blocks = [layer for name, layer in layers.items() if name not in {"cnn", "out_norm"}]
        for state, wanted in zip(outputs.hidden_states, blocks, strict=True):
            close(state[row, :n], wanted, ("transformers hidden", row))
    loss = model.train()(want["clips"][2][None]).last_hidden_state.square().mean()
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in model.parameters())


def onnx(folder: Path) -> None:
    with np.load(folder / "expected.npz") as want:
        wanted = dict(want)
    model = fresh(folder / "onnx", "encoder").load_model()
    clips = sorted(int(name.split(".")[1]) for name in wanted if name.startswith("clip."))
    for number in clips:
        clip = wanted[f"clip.{number}"]
        batch = model(np.stack([clip[::-1], clip]))
        assert len(batch) == len(model.layer_names)
        for name, got in zip(model.layer_names, batch, strict=True):
            close(got[1], wanted[f"{name}.{number}"], ("onnx", name, len(clip)))


if __name__ == "__main__":
    suites = sys.argv[1].split(",")
    for blocked in {name for suite in suites for name in BLOCKED[suite]}:
        sys.modules[blocked] = None  # type: ignore[assignment]
    if "onnx" not in suites:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)
    for argument in sys.argv[2:]:
        for suite in suites:
            globals()[suite](Path(argument))
