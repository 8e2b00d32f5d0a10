"""The steps, one module each, with ``run(plan, findings)``, or ``run(plan, findings, number)`` for cameras."""
