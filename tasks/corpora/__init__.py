"""Corpora: embedded synthetic ones and loaders for the official folders of real data sets."""
