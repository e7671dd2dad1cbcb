"""The search for leaks between the parts of a run's tasks, as a stage of the run."""

from collections.abc import Mapping, Sequence

from probe_bench import screen
from probe_bench.gather import Workshop
from probe_bench.jobs import Job
from probe_bench.leaks.parts import PartLeaks, find_part_leaks, refuse_leaks
from probe_bench.survey import Survey

__all__ = ["find_leaks"]


def find_leaks(
    jobs: Sequence[Job], surveys: Mapping[str, Survey], shop: Workshop, *, refuse: bool
) -> PartLeaks:
    """Look for audio that parts share, and say it.

    Raises:
        CorpusError: If there is any and it is to be refused.
    """
    with shop.ledger.time("leaks"):
        found = find_part_leaks(jobs, surveys)
    if refuse:
        refuse_leaks(found)
    if jobs:
        shop.console.print(screen.leaks(found.lines, found.coverage, checked=found.checked))
    return found
