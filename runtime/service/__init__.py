"""The service: one process from a camera to alarms, clips, a store and what leaves the device.

    camera -> supervisor -> frames (one thread: measure every raw frame, keep it for clips)
                               \\-> magnifying (its own thread, newest frame wins) -> live feed -> viewers
    frames -> history -> analyst (its own thread) -> spectra, natural frequencies
    frames, analyst -> alarms -> store, clips, MQTT

`process` puts it together; nothing here is imported by anything but the command.
"""
