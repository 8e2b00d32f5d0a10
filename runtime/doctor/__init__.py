"""What this machine has, what is missing, and the command that mends it: ``tremorscope doctor``.

One small function a probe, grouped by file; each looks at a `machine.Machine`, below a root that a test may choose,
and returns `finding.Finding`s. `examination.examine` asks them all.
"""
