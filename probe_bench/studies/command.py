"""`study`: find the study that the command line names."""

from probe_bench.config import StudyConfig
from probe_bench.studies.collapse import collapse
from probe_bench.studies.cutoff.command import cutoff

__all__ = ["study"]


def study(config: StudyConfig) -> int:
    """Do a study."""
    return collapse(config) if config.what == "collapse" else cutoff(config)
