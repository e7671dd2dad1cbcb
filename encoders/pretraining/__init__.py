"""One core for every bundled JEPA system: a recipe names the parts, two steps train them.

Read in this order: `recipe` (what can be chosen), `masking`, `frontends`, `blocks`, `jepa` (the step
of masked prediction), `losses`, `teacher`, `agreement` (the step of views), then `data.batches`,
`trainer`, `monitors`, `pretrain`, and `checkpoint` and `inference` for the way out.
"""

__all__: list[str] = []
