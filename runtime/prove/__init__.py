"""``tremorscope prove``: runs all of it once on the device at hand, and says what holds, in one page and one JSON file.

`conductor` runs the steps of `catalogue`, each in a process of its own (`apart`, `child`) with a bound; what a step
found is an `outcome`. `record` writes the report after every step, so that an interrupted run leaves a valid one, and
`open_points` says which questions that only a Jetson can answer are answered by it.
"""
