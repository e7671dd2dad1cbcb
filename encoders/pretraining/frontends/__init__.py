"""Front ends: from the waveform to tokens, with an exact place in time."""
