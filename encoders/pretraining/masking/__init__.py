"""Masks: which tokens are seen, which are predicted, and what that really hides."""
