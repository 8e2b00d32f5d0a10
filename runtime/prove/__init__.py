"""``tremorscope prove``: runs everything once on the present device, and reports the results as a page and as JSON.

`conductor` runs the steps of a `plan`, each in a process of its own (`apart`) with a time limit; the
result of a step is an `outcome`. `record` writes the report after every step, so that an interrupted run leaves a
valid one, and `open_points` lists the questions that only a Jetson can answer, with the answers of the run.
"""
