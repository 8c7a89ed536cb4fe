"""Netlink: sans-I/O codecs for nf_tables and the one socket that carries them."""
