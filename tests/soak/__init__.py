"""Hours of everything at once on one device: what it answers is checked, and what it holds is measured.

`python -m tests.soak --seconds 3600 --rate 200` is the long form,
tests/integration/test_soak.py a short one.
"""
