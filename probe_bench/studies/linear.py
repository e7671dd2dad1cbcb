"""The linear case of the theory (arXiv 2507.01028), by gradient descent and in closed form.

Pairs (x, y) with E[x xᵀ] = E[y yᵀ] = I and E[y xᵀ] = P, symmetric with eigenvalues ρ_j in (0, 1).
Encoder A, predictor B, residual r = B A x − A y, loss L = ½ E|r|².

*Minimising L.* L is quadratic in A for every B, so ⟨A, ∂L/∂A⟩ = 2 L and under gradient flow
d|A|²/dt = −4 L (predictor fixed or not): A shrinks as long as there is a loss, and as y is no linear
function of x the loss is zero at A = 0 alone.

*Stop-gradient, weight decay η.* With A′ in the place of the second A (A′ = A, or its average),
dA/dt = −Bᵀ(B A − A′P) − ηA and dB/dt = −(B A − A′P)Aᵀ − ηB, hence d(AAᵀ − BᵀB)/dt = −2η(AAᵀ − BᵀB):
the two become balanced. At rest A′ = A, and in an eigendirection of P with a = b:
b(ρ − b) = η, of which b = (ρ + √(ρ² − 4η))/2 is stable; a direction with ρ² < 4η dies. The average
changes the way there but not where it ends (Tian et al. 2021, arXiv 2102.06810, section 3).

*No predictor* (B = I): dA/dt = −A(I − P), which dies in every direction, stop-gradient or not.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

__all__ = ["LINEAR_ARMS", "LinearArm", "limit_values", "linear_table", "simulate"]

CORRELATIONS = np.array([0.95, 0.85, 0.7, 0.5, 0.35, 0.2])
STEPS, STEP_SIZE, RECORD_EVERY = 12_000, 0.05, 100


@dataclass(frozen=True, kw_only=True)
class LinearArm:
    """One gradient descent.

    Attributes:
        name: On the figure.
        stop_gradient: The target has no gradient.
        teacher: EMA rate of the target's encoder; None for the encoder itself.
        predictor: Train B; else it is the identity.
        decay: Weight decay η.
    """

    name: str
    stop_gradient: bool = True
    teacher: float | None = None
    predictor: bool = True
    decay: float = 0.0


LINEAR_ARMS = (
    LinearArm(name="joint loss", stop_gradient=False),
    LinearArm(name="stop-gradient", decay=0.02),
    LinearArm(name="EMA 0.995", teacher=0.995, decay=0.02),
    LinearArm(name="stop-gradient, no predictor", predictor=False),
)


def limit_values(correlations: Float[np.ndarray, " modes"], decay: float) -> np.ndarray:
    """Singular values of A at rest under a stop-gradient, where the direction survives its start."""
    room = correlations**2 - 4 * decay
    values: np.ndarray = np.where(room > 0, (correlations + np.sqrt(room.clip(0))) / 2, 0.0)
    return values


def simulate(
    arm: LinearArm, *, seed: int, steps: int = STEPS
) -> tuple[Float[np.ndarray, "records modes"], Float[np.ndarray, " records"]]:
    """Descend from random matrices.

    Returns:
        Singular values of A, largest first, and the loss E|r|² / 2, every `RECORD_EVERY` steps.
    """
    rng = np.random.default_rng(seed)
    modes = len(CORRELATIONS)
    basis = np.linalg.qr(rng.standard_normal((modes, modes)))[0]
    pairs = basis * CORRELATIONS @ basis.T
    a = rng.standard_normal((modes, modes)) / np.sqrt(modes)
    b = rng.standard_normal((modes, modes)) / np.sqrt(modes) if arm.predictor else np.eye(modes)
    teacher = a.copy()
    values, losses = [], []
    for step in range(steps + 1):
        target = a if arm.teacher is None else teacher
        if step % RECORD_EVERY == 0:
            values.append(np.linalg.svd(a, compute_uv=False))
            losses.append(_loss(a, b, target, pairs))
        with_x = b @ a - target @ pairs  # E[r xᵀ]
        of_a = b.T @ with_x + arm.decay * a
        if not arm.stop_gradient:
            of_a -= b @ a @ pairs.T - a  # E[r yᵀ]
        of_b = with_x @ a.T + arm.decay * b
        a = a - STEP_SIZE * of_a
        b = b - STEP_SIZE * of_b if arm.predictor else b
        if arm.teacher is not None:
            teacher = arm.teacher * teacher + (1 - arm.teacher) * a
    return np.array(values), np.array(losses)


def _loss(a: np.ndarray, b: np.ndarray, target: np.ndarray, pairs: np.ndarray) -> float:
    """½ E|B A x − A′ y|² with the covariances of x and y multiplied out."""
    seen = b @ a
    cross = np.trace(seen @ pairs.T @ target.T)
    return float((np.sum(seen**2) + np.sum(target**2)) / 2 - cross)


def linear_table(*, seeds: int, steps: int = STEPS) -> pd.DataFrame:
    """Simulate every arm: a row for each recorded step, seed and singular value.

    Columns: `arm`, `seed`, `step`, `mode`, `value`, `loss`, `limit` (the stable value that is
    nearest to the last one: a direction may also have died from its start).
    """
    tables = []
    for arm in LINEAR_ARMS:
        lives = arm.stop_gradient and arm.predictor
        limits = limit_values(CORRELATIONS, arm.decay) if lives else np.zeros(1)
        for seed in range(seeds):
            values, losses = simulate(arm, seed=seed, steps=steps)
            stable = np.r_[limits, 0.0]
            ends = stable[np.abs(values[-1][:, None] - stable).argmin(1)]
            records, modes = values.shape
            tables.append(
                pd.DataFrame(
                    {
                        "arm": arm.name,
                        "seed": seed,
                        "step": np.repeat(np.arange(records) * RECORD_EVERY, modes),
                        "mode": np.tile(np.arange(modes), records),
                        "value": values.ravel(),
                        "loss": np.repeat(losses, modes),
                        "limit": np.tile(ends, records),
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)
