"""Training audio: where it comes from, what a step draws from it, and how it is made ahead."""
