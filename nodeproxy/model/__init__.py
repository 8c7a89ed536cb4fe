"""Frozen values that every other package speaks in: addresses, keys, API objects, events."""
