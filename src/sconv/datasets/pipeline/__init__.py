"""Batches, and what is done to them."""
