"""The framework on top of the library: the only room that knows Hydra."""
