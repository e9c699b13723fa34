"""The verifier: which programs may run, and what is known of one without running it.

    decode (code.py)            slots to instructions
      → checks (checks.py)      every instruction by itself: nearly all errors
      → flow (flow.py)          basic blocks, what is reached, functions
          → registers.py        registers read before they are written, or after a call
          → loops.py            the longest path, loops that outlast the budget (counting.py)
          → calls.py            recursion, depth of calls
              → frames.py       use of the stack
      → report (report.py)      all findings in order, and the facts

Every stage is linear in the text and free of recursion: a text may have 65536 slots, written by somebody
who wishes the device ill. `findings.py` has the table of what can be found (programs.md section 4).
"""

from device.vm.verifier.findings import RULES, Finding, Rule, Severity
from device.vm.verifier.report import FunctionFacts, LoopFacts, Report, require_accepted
from device.vm.verifier.verify import verify

__all__ = [
    "RULES",
    "Finding",
    "FunctionFacts",
    "LoopFacts",
    "Report",
    "Rule",
    "Severity",
    "require_accepted",
    "verify",
]
