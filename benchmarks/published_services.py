"""Empty modules in the place of what the published trainings import and their step never uses."""

import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn

__all__ = ["importing"]

# Services of a training, and WavJEPA's data module, which its checkout lacks.
_SERVICES = (
    *("lightning", "lightning_utilities", "pytorch_lightning", "wandb", "hydra", "omegaconf"),
    *("av", "h5py", "data_modules"),
)


class _Module(nn.Module):
    """What the step reads of a LightningModule."""

    trainer: Any
    global_step = 0
    current_epoch = 10
    logger = None
    chosen_optimiser: torch.optim.Optimizer

    def __init__(self, **_: object) -> None:
        super().__init__()

    def save_hyperparameters(self, *_: object, **__: object) -> None:
        """Keep the arguments of the constructor that calls this."""
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        self.hparams = SimpleNamespace(**frame.f_back.f_locals)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def optimizers(self) -> torch.optim.Optimizer:
        return self.chosen_optimiser

    def log(self, *_: object, **__: object) -> None:
        """Log nothing."""

    log_dict = log


class _Empty(ModuleType):
    """Module in which every name is there: classes with nothing in them, decorators that do nothing."""

    __path__: MutableSequence[str] = []  # noqa: RUF012 - as the import system wants it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "LightningModule":
            return _Module
        value = type(name, (), {}) if name[0].isupper() else _Empty(name)
        setattr(self, name, value)
        return value

    def __call__(self, decorated: Any = None, *_: object, **__: object) -> Any:
        return decorated


class _Services(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook that makes missing training services empty modules."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        wanted = name.partition(".")[0] in _SERVICES
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


@contextmanager
def importing(path: Path) -> Iterator[None]:
    """Import from a checkout; installed services win over empty ones."""
    services = _Services()
    sys.path.insert(0, str(path))
    sys.meta_path.append(services)
    try:
        yield
    finally:
        sys.meta_path.remove(services)
        sys.path.remove(str(path))
