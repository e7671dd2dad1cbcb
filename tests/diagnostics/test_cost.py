from probe_bench.diagnostics import DIAGNOSTICS
from probe_bench.diagnostics.cost import passes


def test_each_diagnostic_costs_its_part_and_none_costs_nothing() -> None:
    assert passes(()) == passes(("localisation",)) == 0
    assert passes(("code-length",)) == passes(("code-length", "sample-size", "v-information"))
    assert 0 < passes(("v-information",)) < passes(("code-length",)) < passes(DIAGNOSTICS)
    assert passes(DIAGNOSTICS) < 300  # less than the probe that is diagnosed
