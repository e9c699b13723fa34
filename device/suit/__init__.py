"""Signed updates: keys, COSE, strict CBOR, manifests, plan, install (suit.md)."""
