"""Published probing protocols on cached features: their heads, parts and rules, faults and all.

Each protocol stands in a file of its own, as its authors' code does it. A protocol whose code has a
fault that moves scores has two variants: as published, and honest.
"""
