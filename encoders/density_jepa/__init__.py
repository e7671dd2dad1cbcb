"""Density-adaptive JEPA: a speech tokenizer of 2.5 frames a second."""
