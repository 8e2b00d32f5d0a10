"""Health, metrics and the live page over HTTP: one thread with an event loop, bounded in all resources.

The frame loop does not know of it: pictures and numbers are read from `runtime.live.feed.LiveFeed` and
`runtime.health.HealthBoard`.
"""
