"""Probes: small models fitted on cached features, all layers and strengths in one solve.

Every convex probe is fitted to its optimum, so no learning rate stands between an encoder and its
score. See `ridge`, `logistic` (exact), `ctc` (trained) and `verification` (nothing to fit).
"""
