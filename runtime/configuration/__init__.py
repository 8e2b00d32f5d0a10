"""The configuration file: what may stand in it, how it is read, and how its errors are told.

`section.Section` is the base of every section; `schema.Configuration` is the whole file, put together from `sections`
(magnification, vibration), `runtime.clips.settings` (recording), `runtime.store.settings` (store),
`runtime.cameras.settings.CameraSettings` (camera), ``outputs``
(``OutputsSettings``: web, metrics, mqtt) and ``device`` (``RecoverySettings``, ``ThermalSettings``).
"""
