"""The published learning systems, one file each: equations, parameters and ``build()``."""
