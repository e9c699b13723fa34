"""What a program is: instruction set, layouts, verifier, memory, helpers, engines."""
