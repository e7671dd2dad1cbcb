"""Errors a user can act on; the command line prints them as one line and exits with code 2."""

__all__ = ["AudioError", "CheckpointError", "CorpusError", "UserError"]


class UserError(Exception):
    """Something the user can mend: says what was found, what was expected and what to do."""


class AudioError(UserError):
    """One clip's audio cannot be used; `--skip-bad` leaves such clips out and counts them."""


class CorpusError(UserError):
    """A corpus folder, manifest, label or split is not what it should be."""


class DivisionError(CorpusError):
    """A corpus that cannot be divided into the parts that a task needs."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged or of another shape than its encoder."""
