"""Leaks: the same audio, speakers or recordings on two sides that should share nothing.

`fingerprint` turns audio into 32-bit words that survive re-encoding, `index` finds where words
recur, `matching` checks every such place bit by bit. `parts` looks between train, valid and test of a
run, `against` between an evaluation corpus and pretraining audio.
"""
