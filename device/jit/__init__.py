"""eBPF to ARMv7E-M Thumb-2, and the Unicorn machine that runs what comes out (engines.md, JIT)."""
