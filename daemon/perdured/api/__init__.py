"""The daemon's HTTP API on a unix socket, with an OpenAPI description at `/openapi.json`.

app.py        the application: routes, errors, limits
server.py     the socket and the life of the server inside the daemon's loop
peers.py      who may talk to us
jobs.py wishes.py queue.py checkpoints.py logs.py events.py health.py metrics.py      the routes
exposition.py  jobs as metrics
"""
