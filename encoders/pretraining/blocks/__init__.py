"""Stacks of blocks, predictors and projectors."""
