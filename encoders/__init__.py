"""Audio encoders: the bundled JEPA systems and adapters to everyone else's."""

if __name__ != "probe_bench.encoders":
    raise ImportError("import probe_bench.encoders, not encoders")
