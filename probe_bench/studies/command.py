"""`study`: find the study that the command line names."""

from probe_bench.config import StudyConfig
from probe_bench.errors import UserError
from probe_bench.studies.collapse import collapse
from probe_bench.studies.cutoff.command import cutoff

__all__ = ["study"]


def study(config: StudyConfig) -> int:
    """Do a study.

    Raises:
        UserError: If an option means nothing to it, or something cannot be had.
    """
    if config.workers == 0:
        raise UserError(
            "--workers 0: expected at least 1; leave it out for one on every device or core"
        )
    if config.what != "collapse":
        return cutoff(config)
    if config.workers is not None:
        raise UserError(
            f"--workers {config.workers}: collapse does one training after the other; leave it out"
        )
    return collapse(config)
