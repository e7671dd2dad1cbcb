"""The whole instrument through the command line: encoders and audio in, report and rows out."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import transformers
from torchaudio import pipelines

from probe_bench.cache import Cache
from probe_bench.cli import main
from probe_bench.config import RunConfig
from probe_bench.errors import UserError
from probe_bench.probes.config import ProbeConfig
from probe_bench.record import digest
from probe_bench.reports.metrics import is_diagnostic
from probe_bench.rows import read_rows

RATE_HZ = 16000
DIAGNOSED = {"v_information_bits", "depth_peak", "depth_gravity", "depth_expected"}
TASKS = ["speaker", "phoneme", "emotion", "tagging"]


def command(*arguments: object) -> None:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    assert done.value.code == 0


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here: the embedded corpora are rendered into it once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Speech-like noise of 12 speakers, 5 takes of a second each, with phones."""
    root = tmp_path / "recordings"
    root.mkdir()
    rng = np.random.default_rng(0)
    (root / "phones.csv").write_text("start,end,label\n0.0,0.4,a\n0.4,1.0,b\n")
    lines = []
    for speaker in range(12):
        for take in range(5):
            slow = 1 + 0.8 * np.sin(2 * np.pi * (2 + take) * np.arange(RATE_HZ) / RATE_HZ)
            tone = np.sin(2 * np.pi * (100 + 40 * speaker) * np.arange(RATE_HZ) / RATE_HZ)
            sound = slow * (0.2 * tone + 0.05 * rng.standard_normal(RATE_HZ))
            sound[: int(0.4 * RATE_HZ)] *= 0.3
            name = f"s{speaker:02d}-{take}.wav"
            soundfile.write(root / name, sound, RATE_HZ, subtype="FLOAT")
            lines.append({"path": name, "speaker": f"s{speaker:02d}", "phones": "phones.csv"})
    pd.DataFrame(lines).to_csv(root / "manifest.csv", index=False)
    return root


def test_the_default_run_on_a_part_of_the_embedded_corpora(
    embedded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    less = ("--limit", 64, "--train-frames", 1000)
    command("run", *less, "--cache", embedded, "--out", tmp_path / "out")
    said = capsys.readouterr().out
    assert "to encode" in said
    assert "to probe and analyse" in said
    assert said.rstrip().endswith("report.html")
    rows = read_rows(tmp_path / "out" / "results.csv")
    scores = rows[~rows["task"].isin(["modulation", "geometry"])]
    for encoder in ("wavjepa", "audio-jepa"):
        for name, role in ((encoder, "subject"), (f"random:{encoder}", "random")):
            mine = scores[(scores["encoder"] == name) & (scores["role"] == role)]
            assert sorted(set(mine["task"])) == sorted(TASKS)
            for _, layers in mine[~mine["metric"].map(is_diagnostic)].groupby(
                ["task", "probe", "metric"]
            ):
                assert {"in", "L1", "L2", "L3", "L4", "out_norm", "best"} <= set(layers["layer"])
            for _, told in mine[mine["probe"] == "logistic"].groupby("task"):
                assert set(told["metric"]) >= DIAGNOSED
    assert {"subject", "random", "logmel", "chance"} == set(scores["role"])
    half_rates = scores[scores["metric"].str.startswith("half_rate_hz:")]
    assert set(half_rates["split"]) == {"test+modulations"}
    assert sorted(set(half_rates["task"])) == sorted(TASKS)
    assert set(half_rates["role"]) == {"subject", "random", "logmel"}
    assert half_rates["value"].notna().any()
    scores = scores[scores["split"] != "test+modulations"]
    nowhere = scores["value"].isna()
    assert scores[nowhere]["metric"].isin(["depth_gravity", "depth_expected"]).all()
    scores = scores[~nowhere]
    assert (scores["ci_low"] <= scores["value"] + 1e-9).all()
    assert (scores["value"] <= scores["ci_high"] + 1e-9).all()
    cutoffs = rows[rows["metric"] == "support_hz"]
    assert cutoffs["value"].notna().any()
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [task["name"] for task in record["tasks"]] == TASKS
    assert all(task["classes"] > 1 for task in record["tasks"])
    masked = {encoder["name"] for encoder in record["encoders"] if encoder["hidden_run_ms"]}
    assert masked == {"wavjepa", "audio-jepa"}
    assert {file.suffix for file in (tmp_path / "out" / "figures").iterdir()} == {
        ".pdf",
        ".png",
        ".svg",
    }


@pytest.mark.usefixtures("clean_cache")
def test_the_number_of_training_frames_reaches_the_probes_and_the_digest(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def seen(*_: object, config: ProbeConfig, **__: object) -> None:
        asked.append(config.max_train_frames)
        raise UserError("seen")

    monkeypatch.setattr("probe_bench.probing.evaluate", seen)
    what = ["--task", "phoneme", "--analysis", "none", "--encoder", "logmel:50"]
    for more in ([], ["--train-frames", "200"], ["--train-frames", "0"]):
        with pytest.raises(SystemExit):
            main(["run", *what, "--corpus", f"m={recordings}", "--out", str(tmp_path / "o"), *more])
    assert asked == [16_000, 200, None]
    digests = {digest(RunConfig(train_frames=n), [], {}) for n in (16_000, 200, 0)}
    assert len(digests) == 3


@pytest.mark.usefixtures("clean_cache")
def test_predictions_score_again(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    what = ["--task", "speaker", "phoneme", "--analysis", "none", "--encoder", "logmel:50"]
    what += ["--degrade", "none"]
    command("run", *what, "--corpus", f"mine={recordings}", "--out", out)
    rows = read_rows(out / "results.csv")
    for task in ("speaker", "phoneme"):
        table = pd.read_csv(out / "predictions" / f"{task}.mine.logmel_50.logistic.csv.gz")
        picked = rows[(rows["task"] == task) & (rows["probe"] == "logistic")]
        picked = picked[picked["metric"] == "accuracy"]
        for layer in ("in", "best"):
            value = picked[picked["layer"] == layer]["value"].item()
            assert (table["target"] == table[layer]).mean() == pytest.approx(value, abs=1e-9)


@pytest.mark.usefixtures("clean_cache")
def test_encoders_side_by_side_score_as_one_after_the_other(
    recordings: Path, tmp_path: Path
) -> None:
    what = ["--encoder", "logmel:25", "logmel:50", "--corpus", f"mine={recordings}"]
    what += ["--degrade", "band"]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            command("run", *what, "--task", "speaker", "phoneme", "--out", tmp_path / str(threads))
        finally:
            torch.set_num_threads(1)
    alone, beside = (json.loads((tmp_path / n / "run.json").read_text()) for n in "12")
    assert alone["notes"] == beside["notes"]
    for name in ("results.csv", "comparisons.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.usefixtures("clean_cache")
@pytest.mark.parametrize("reference", ["hf", "torchaudio"])
def test_models_of_other_libraries(
    reference: str,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    if reference == "hf":
        config = transformers.HubertConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            conv_dim=(16,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
        )
        transformers.HubertModel(config).save_pretrained(tmp_path / "hubert")
        transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "hubert")
        encoder, last = f"hf:{tmp_path / 'hubert'}", "L2"
    else:
        hub = tmp_path / "torch" / "hub" / "checkpoints"
        hub.mkdir(parents=True)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        bundle = pipelines.WAV2VEC2_BASE
        from torchaudio.models import wav2vec2_model  # noqa: PLC0415

        torch.save(wav2vec2_model(**bundle._params).state_dict(), hub / Path(bundle._path).name)
        encoder, last = "torchaudio:WAV2VEC2_BASE", "L12"
    analysis = {"hf": "modulation", "torchaudio": "none"}[reference]  # the latter is of full size
    command(
        *("run", "--encoder", encoder, "--task", "speaker", "--corpus", f"mine={recordings}"),
        *("--out", tmp_path / "out", "--analysis", analysis, "--degrade", "none"),
    )
    rows = read_rows(tmp_path / "out" / "results.csv")
    for name in (encoder, f"random:{encoder}"):
        layers = list(rows[(rows["encoder"] == name) & (rows["metric"] == "accuracy")]["layer"])
        assert {"cnn", "in", "L1", last, "best"} <= set(layers)


@pytest.mark.usefixtures("clean_cache")
@pytest.mark.parametrize("pool", ["none", "mean"])
def test_embedded_features_score_as_their_encoder_does(
    pool: str,
    recordings: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corpus = ["--corpus", f"mine={recordings}"]
    command(
        "embed", "--encoder", "logmel:25", *corpus, "--pool", pool, "--out", tmp_path / "theirs"
    )
    theirs = f"features:{tmp_path / 'theirs'}"
    command("run", "--encoder", "logmel:25", theirs, *corpus, "--task", "speaker", "phoneme",
            "--dtype", "float32", "--degrade", "telephone", "--out", tmp_path / "out")  # fmt: skip
    said = capsys.readouterr().out
    assert said.count("features:theirs not tried on degraded audio") == 1
    rows = read_rows(tmp_path / "out" / "results.csv")
    assert set(rows.loc[rows["split"] == "test+telephone", "encoder"]) == {"logmel:25"}
    rows = rows[rows["split"] != "test+telephone"].set_index(["encoder", "task", "metric"])
    tasks = set(rows.loc["features:theirs"].index.get_level_values("task"))
    if pool == "mean":
        assert tasks == {"speaker"}
        assert "one vector a clip" in said
        return
    assert tasks == {"speaker", "phoneme", "modulation", "geometry"}
    for task, metric in (("speaker", "accuracy"), ("phoneme", "accuracy"), ("phoneme", "per")):
        values = [list(rows.loc[(name, task, metric)]["value"]) for name in ("logmel:25", "features:theirs")]  # fmt: skip
        assert values[0] == pytest.approx(values[1], abs=0.02)


@pytest.mark.usefixtures("clean_cache")
def test_two_encoders_of_one_name_are_refused(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundled = Path(__file__).parents[1] / "encoders/wavjepa/tiny.safetensors"
    paths = []
    for folder in ("a", "b"):
        paths.append(tmp_path / folder / "mine" / "checkpoint.safetensors")
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_bytes(bundled.read_bytes())
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--encoder", *map(str, paths), "--corpus", f"mine={recordings}"])
    assert stopped.value.code == 2
    assert "'mine'" in capsys.readouterr().err


@pytest.fixture
def start(recordings: Path, tmp_path: Path) -> Callable[[str, str], subprocess.Popen[bytes]]:
    """Start a run in a process of its own, with its own cache and output folder."""
    code = "from probe_bench.cli import main; main()"

    def run(cache: str, out: str) -> subprocess.Popen[bytes]:
        arguments = ["run", "--encoder", "wavjepa", "--task", "speaker", "phoneme"]
        places = ["--corpus", f"mine={recordings}", "--cache", cache, "--out", out]
        less = ["--train-frames", "500", "--analysis", "modulation", "--no-controls"]
        less += ["--degrade", "telephone"]
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments, *places, *less],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    return run


def test_killed_at_random_moments_ends_the_same(
    start: Callable[[str, str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    began = time.monotonic()
    whole = start("cache-1", "out-1")
    assert whole.wait() == 0, whole.stderr and whole.stderr.read().decode()
    took_s = time.monotonic() - began
    rng = np.random.default_rng()
    for how in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGINT):
        process = start("cache-2", "out-2")
        try:
            process.wait(rng.uniform(0.3, 0.95) * took_s)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
        assert process.wait() in (0, -signal.SIGKILL, -signal.SIGINT, 130)
        for entry in Cache(tmp_path / "cache-2").entries():
            assert entry.verify() == []
    assert start("cache-2", "out-2").wait() == 0
    ended = [(tmp_path / out / "results.csv").read_bytes() for out in ("out-1", "out-2")]
    assert ended[0] == ended[1]


@pytest.mark.gpu
def test_a_gpu_scores_as_the_cpu_does(recordings: Path, tmp_path: Path) -> None:
    values = []
    for device in ("cpu", "cuda"):
        places = ["--cache", tmp_path / f"cache-{device}", "--out", tmp_path / device]
        command("run", "--corpus", f"mine={recordings}", "--task", "speaker", "phoneme",
                "--diagnostic", "none", "--degrade", "none", "--device", device, *places)  # fmt: skip
        rows = read_rows(tmp_path / device / "results.csv")
        single = rows[~rows["setting"].str.contains("mod_freq_hz")]
        values.append(single.set_index(["encoder", "layer", "task", "probe", "metric"])["value"])
    pd.testing.assert_series_equal(*values, check_exact=False, atol=0.05, rtol=0.05)


@pytest.mark.usefixtures("clean_cache")
def test_degraded_test_audio_is_read_beside_the_clean(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what = ["run", "--encoder", "logmel:50", "--task", "speaker", "--analysis", "none"]
    what += ["--corpus", f"mine={recordings}"]
    command(*what, "--degrade", "none", "--out", tmp_path / "clean")
    capsys.readouterr()
    command(*what, "--degrade", "noise-white", "band", "--out", tmp_path / "both")
    assert "mine+noise-white" in capsys.readouterr().out.split("expected: ")[1]  # costs, beforehand
    clean, both = (read_rows(tmp_path / out / "results.csv") for out in ("clean", "both"))
    untouched = both[both["split"] == "test"].drop(columns="run_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(untouched, clean.drop(columns="run_id"))
    assert set(both["run_id"]) != set(clean["run_id"])
    picked = both[(both["layer"] == "best") & (both["probe"] == "logistic")]
    noisy = picked[(picked["split"] == "test+noise-white") & (picked["metric"] == "accuracy")]
    assert [s.rsplit(";")[-1] for s in noisy["setting"]] == [
        f"snr_db={s}" for s in (20, 15, 10, 5, 0, -5)
    ]
    area = picked[picked["metric"] == "robustness_area:noise-white:accuracy"]["value"].item()
    assert area == pytest.approx(noisy["value"].mean())
    assert area < untouched[untouched["layer"] == "best"]["value"].iloc[0]
    record = json.loads((tmp_path / "both" / "run.json").read_text())
    assert [each["name"] for each in record["degradations"]] == ["noise-white", "band"]
    command("run", *what[1:], "--degrade", "noise-white", "band", "--out", tmp_path / "again")
    for name in ("results.csv", "comparisons.csv"):
        first, second = ((tmp_path / out / name).read_bytes() for out in ("both", "again"))
        assert first == second
    assert (tmp_path / "both" / "figures" / "score_by_severity.png").exists()
    assert "How robust" in (tmp_path / "both" / "report.html").read_text()
    assert "How robust" not in (tmp_path / "clean" / "report.html").read_text()
    root = tmp_path / "cache" / "probe-bench"
    kept = [entry for entry in Cache(root).entries() if "degradation" not in entry.describe()]
    command("cache", "prune", "--degraded")
    assert [e.folder for e in Cache(root).entries()] == [e.folder for e in kept]


@pytest.mark.slow
def test_what_was_low_passed_lives_on_slower_modulations(embedded: Path, tmp_path: Path) -> None:
    """Known answer of the causal check: phones from `lowpass:2`, `lowpass:4`, all of log-mel."""
    out = tmp_path / "out"
    command(
        *("run", "--encoder", "lowpass:2", "lowpass:4", "--task", "phoneme", "--limit", 216),
        *("--analysis", "none", "--diagnostic", "none"),
        *("--cache", embedded, "--out", out),
    )
    rows = read_rows(out / "results.csv")
    rows = rows[(rows["metric"] == "half_rate_hz:accuracy") & (rows["layer"] == "in")]
    half = rows.set_index("encoder")
    assert (
        list(half.loc[["lowpass:2", "lowpass:4", "logmel:50"], "value"].diff()[1:] > 0)
        == [True] * 2
    )
    assert half.loc["lowpass:2", "ci_high"] < half.loc["logmel:50", "ci_low"]
    for name, cutoff_hz in (("lowpass:2", 2), ("lowpass:4", 4)):
        assert half.loc[name, "ci_high"] < 1.2 * cutoff_hz
    noticed = read_rows(out / "results.csv").query("split == 'test+modulations' and layer == 'in'")
    mild = noticed[noticed["setting"].str.endswith("mod_cutoff_hz=16")].set_index("encoder")
    clean = read_rows(out / "results.csv").query("split == 'test' and layer == 'in'")
    clean = clean[clean["metric"] == "accuracy"].set_index("encoder")["value"]
    mild = mild[mild["metric"] == "accuracy"]["value"]
    assert abs(mild["lowpass:4"] - clean["lowpass:4"]) < 0.005
