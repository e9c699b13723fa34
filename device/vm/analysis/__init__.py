"""What the fast engines know of a program before they translate it: flow, liveness, intervals."""
