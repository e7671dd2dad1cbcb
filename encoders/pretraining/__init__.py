"""Masked latent prediction: the one core that every bundled JEPA system plugs into.

Read in this order: `recipe` (what can be chosen), `masks`, `stem` and `patches` (front ends),
`transformer`, `jepa` (the step), `targets`, `objective`, `teacher`, `schedule`, `monitors`,
`tape` (audio), `trainer`, `pretrain`, then `checkpoint` and `inference` for the way out.
"""

__all__: list[str] = []
