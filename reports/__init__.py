"""Result rows to tables, figures and one HTML file; needs no torch."""

if __name__ != "probe_bench.reports":
    raise ImportError("import probe_bench.reports, not reports")
