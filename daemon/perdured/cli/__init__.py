"""The `perdure` command: one file per verb in `verbs/`, imported when that verb is called.

`perdure ps` may cost 150 ms of its own. Measured here (medians of whole processes): a bare interpreter 14 ms, click
46 ms more, http.client 25 ms, rich's table 35 ms, asyncio 35 ms, pydantic 60 ms, fastapi several hundred. So the verbs
that talk to the daemon use click and http.client, and lay out their tables themselves (`text.py`); a test keeps the
heavy ones out of their way.
"""
