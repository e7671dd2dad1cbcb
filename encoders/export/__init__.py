"""Encoders for other suites: a folder with weights and one module that needs no probe-bench."""
