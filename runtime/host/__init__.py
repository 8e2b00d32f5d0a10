"""The host: systemd, journal, threads, signals, files, heat, and what needs privileges."""
