"""What an audio encoder hears, at which layer, and how fast."""

__all__ = ["__version__"]

__version__ = "0.1.0"
