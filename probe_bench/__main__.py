"""`python -m probe_bench` is `probe-bench`."""

from probe_bench.cli import main

if __name__ == "__main__":
    main()
