"""Exact cosine kNN for every k of the path at once against scikit-learn, one k at a time.

    python benchmarks/knn.py [--train 16000] [--test 8000] [--dim 256] [--classes 40]

Both sides see the same standardised float32 features, in the same process, on one thread, and weight votes
alike. Times are CPU seconds of the process, which other work on the machine does not change.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from probe_bench.probes.config import ProbeConfig
from probe_bench.probes.neighbours import nearest, votes

CONFIG = ProbeConfig()


def draw(n: int, dim: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return unit vectors of Gaussian classes of little separation."""
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=generator)
    x = 0.3 * centres[y] + torch.randn(n, dim, generator=generator)
    return torch.nn.functional.normalize(x, dim=1), y


def timed(work: Callable[[], list[np.ndarray]]) -> tuple[float, list[np.ndarray]]:
    """Return CPU seconds and what came out."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def ours(
    queries: Float[Tensor, "test dim"],
    keys: Float[Tensor, "train dim"],
    y: Int[Tensor, " train"],
    classes: int,
) -> list[np.ndarray]:
    """Predict by every k from one search."""
    found = nearest(queries, keys, max(CONFIG.knn_k))
    shares = votes(*found, y, classes, CONFIG.knn_k, CONFIG.knn_temperature)
    return list(shares.argmax(2).numpy())


def theirs(
    queries: Float[Tensor, "test dim"], keys: Float[Tensor, "train dim"], y: Int[Tensor, " train"]
) -> list[np.ndarray]:
    """Predict by every k from a search of its own."""

    def weigh(distance: np.ndarray) -> np.ndarray:
        return np.exp((1 - distance) / CONFIG.knn_temperature)

    def predict(k: int) -> np.ndarray:
        model = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=weigh)
        return model.fit(keys.numpy(), y.numpy()).predict(queries.numpy())

    return [predict(k) for k in CONFIG.knn_k]


def main() -> None:
    """Print seconds of both sides, their ratio, and how often they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, size in (("train", 16_000), ("test", 8_000), ("dim", 256), ("classes", 40)):
        parser.add_argument(f"--{name}", type=int, default=size)
    o = parser.parse_args()
    torch.set_num_threads(1)
    keys, y = draw(o.train, o.dim, o.classes, 1)
    queries, _ = draw(o.test, o.dim, o.classes, 2)
    product, _ = timed(lambda: [(queries @ keys.T).numpy()])
    seconds, mine = timed(lambda: ours(queries, keys, y, o.classes))
    with threadpool_limits(1):
        slow, other = timed(lambda: theirs(queries, keys, y))
    print(f"{o.test} x {o.train} x {o.dim}, k = {', '.join(map(str, CONFIG.knn_k))}")
    print(f"bare product {product:.1f} s, ours {seconds:.1f} s, scikit-learn {slow:.1f} s")
    print(f"ratio {slow / seconds:.1f}, a k {slow / len(CONFIG.knn_k) / seconds:.2f}")
    for k, a, b in zip(CONFIG.knn_k, mine, other, strict=True):
        print(f"k={k:<4d} same class {np.mean(a == b):.4%}")


if __name__ == "__main__":
    main()
