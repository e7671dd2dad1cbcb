"""Targets, distances and regularisers: pure functions with their derivations."""
