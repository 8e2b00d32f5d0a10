"""One module a kind of step; each has ``run(plan, findings)``, of cameras ``run(plan, findings, number)``."""
