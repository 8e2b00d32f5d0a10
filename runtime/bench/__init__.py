"""``tremorscope bench``: the live loop as the service runs it, timed stage by stage from the camera to the outputs.

`job` runs it on a `rig` that puts stop-watches into the loop without changing it; `result` is what was found, which
`report` and `picture` tell people, and JSON tells programs.
"""
