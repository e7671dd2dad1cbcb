"""Write a bundled checkpoint's model card: card.py SYSTEM TRAINING RUN.

TRAINING is the folder that `pretrain` wrote, RUN the one that `run --encoder SYSTEM` wrote.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from probe_bench.reports.tables import name_series
from probe_bench.reports.terminal import legend
from probe_bench.reports.views import headline_groups
from probe_bench.rows import read_comparisons, read_rows

_ROOT = Path(__file__).parents[1]
_MONITORS = {
    "rank_encoder": "effective rank, encoder",
    "rank_teacher": "effective rank, teacher",
    "rank_stem": "effective rank, stem",
    "rank_projected": "effective rank, projector",
    "nonzero_projected": "non-zero share, projector",
    "std_time": "std over a clip's tokens",
    "std_batch": "std between clips",
    "teacher_cosine": "teacher-student cosine",
    "loss": "loss",
    "verdict": "verdict",
}


def main(system: str, training: Path, run: Path) -> None:
    """Write the card and its figure."""
    record = json.loads((training / "pretrain.json").read_text())
    log = pd.read_csv(training / "log.csv")
    figure = _ROOT / "docs" / "cards" / f"{system}.png"
    figure.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(training / "training.png", figure)
    parts = [
        f"# {system} tiny: model card",
        (
            f"Made by `runs/tiny.sh {system}`: {_training(record)}. MIT, like the code; the training "
            "audio is synthesised by the suite itself."
        ),
        "## Probes",
        (
            "Test score at the layer picked on validation data, with 95 % intervals. *Twin* is the same "
            f"architecture at random initialisation. {legend(_tests(run))}."
        ),
        _probes(system, run),
        "## Effective rank",
        (
            "Exponential of the entropy of the singular values (RankMe) of frames of the embedded speech, "
            "patches of one instant side by side, with 95 % intervals over speakers. An untrained network is a "
            "random projection and spreads what it gets evenly, so a lower rank is no collapse; constant "
            "or dimensional collapse would be a small fraction of it."
        ),
        ranks(system, run),
        "## Monitors at the end",
        _table([(text, log[name].iloc[-1]) for name, text in _MONITORS.items() if name in log]),
        f"![Monitors over training](../../docs/cards/{system}.png)",
        "## Recipe",
        f"```json\n{_json(record['recipe'])}\n```",
    ]
    if record["masks"]:
        masks = record["masks"]
        at = parts.index("## Monitors at the end")
        parts[at:at] = [
            "## Realised masks",
            (
                f"{masks['visible_fraction']:.1%} of the tokens visible, {masks['target_fraction']:.1%} "
                f"predicted, hidden gaps of {masks['mean_hidden_gap_ms']:.0f} ms on average."
            ),
        ]
    card = _ROOT / "encoders" / system.replace("-", "_") / "CARD.md"
    card.write_text("\n\n".join(parts) + "\n")
    print(card)


def _training(record: dict[str, Any]) -> str:
    machine = record["machine"]
    return (
        f"{record['step']} steps on {' and '.join(record['corpora'])} with seed {record['seed']}, "
        f"{record['seconds'] / 60:.0f} minutes on {machine['device']} "
        f"({machine['threads']} thread{'s' * (machine['threads'] > 1)})"
    )


def _probes(system: str, run: Path) -> str:
    """One line a task, with the baselines that stand in every report."""
    lines = ["| task | metric | layer | score | twin | log-mel | chance |", "|---" * 7 + "|"]
    rows = name_series(read_rows(run / "results.csv"))
    for group in headline_groups(rows, _tests(run)):
        for line in group.lines:
            if line.name == system:
                baselines = [f"{b.sign} {b.value}" if b else "" for b in line.baselines]
                cells = [group.task, group.metric, line.layer, f"{line.value} {line.interval}"]
                lines.append(f"| {' | '.join([*cells, *baselines])} |")
    return "\n".join(lines)


def ranks(system: str, run: Path) -> str:
    """One line a layer: effective rank beside that of the untrained twin."""
    rows = read_rows(run / "results.csv")
    found = rows[(rows["metric"] == "effective_rank") & (rows["unit"] == "frame")]
    mine, twin = (found[found["encoder"] == name] for name in (system, f"random:{system}"))
    lines = ["| layer | dimensions | rank | twin |", "|---" * 4 + "|"]
    for (_, own), (_, other) in zip(mine.iterrows(), twin.iterrows(), strict=True):
        cells = [str(own["layer"]), f"{own['dim']:.0f}", _rank(own), _rank(other)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _rank(row: "pd.Series[Any]") -> str:
    if pd.isna(row["value"]):
        return "-"
    return f"{row['value']:.1f} [{row['ci_low']:.1f}, {row['ci_high']:.1f}]"


def _tests(run: Path) -> pd.DataFrame:
    return read_comparisons(run / "comparisons.csv")


def _json(recipe: object) -> str:
    """Indent parts, and leave lists of numbers on one line."""
    text = json.dumps(recipe, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text)


def _table(pairs: list[tuple[str, object]]) -> str:
    lines = ["| monitor | value |", "|---|---|"]
    lines += [f"| {k} | {f'{v:.4g}' if isinstance(v, float) else v} |" for k, v in pairs]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
