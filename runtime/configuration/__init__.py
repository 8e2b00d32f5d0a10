"""The configuration file: schema, reading, checks and error messages.

`section.Section` is the base of every section; `schema.Configuration` is the whole file, put together from `sections`
(magnification, vibration), `runtime.clips.settings` (recording), `runtime.store.settings` (store),
`runtime.cameras.settings.CameraSettings` (camera), ``outputs``
(``OutputsSettings``: web, metrics, mqtt) and ``device`` (``RecoverySettings``, ``ThermalSettings``).
"""
