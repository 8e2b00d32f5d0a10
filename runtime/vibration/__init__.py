"""Numbers from frames: displacement, spectra, modes."""
