"""A simulated RIOT-like device: signed eBPF programs over CoAP, run in a sandbox."""

__version__ = "0.1.0"
