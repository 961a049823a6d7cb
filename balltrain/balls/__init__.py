"""The balls world: a simulator and renderer of CoPhy-like scenes, and the two public file formats."""
