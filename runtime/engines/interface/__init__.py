"""The interface of engines: protocols, the bundle they are opened from, and the check of arrays before each step."""
