"""Studies of what in pretraining sets the modulation cutoff: one knob at a time, measured by the instrument."""
