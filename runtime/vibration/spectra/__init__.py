"""Spectra: sampling, peaks, tones and modes of displacement."""
