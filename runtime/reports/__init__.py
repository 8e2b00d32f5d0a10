"""Reports of a measurement: HTML, figures, and files for modal software."""
