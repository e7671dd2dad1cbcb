"""Probe tasks, one file each, and the corpora they use."""

if __name__ != "probe_bench.tasks":
    raise ImportError("import probe_bench.tasks, not tasks")
