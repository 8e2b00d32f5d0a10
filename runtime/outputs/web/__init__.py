"""Health, metrics and the live page over HTTP: one thread with an event loop of its own, bounded in everything.

The loop over frames knows nothing of it: pictures and numbers are fetched from `runtime.live.feed.LiveFeed` and
`runtime.health.HealthBoard`.
"""
