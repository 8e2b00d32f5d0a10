"""Examination of a machine, with the command that mends each fault: ``tremorscope doctor``.

Each probe is a function, grouped by file; it looks at a `machine.Machine`, whose root a test may choose, and returns
`finding.ProbeFinding`s. `examination.examine` runs them all.
"""
