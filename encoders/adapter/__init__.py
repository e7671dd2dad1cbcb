"""What the adapters to other libraries share: layer taps, conv timing and fingerprints."""

__all__: list[str] = []
