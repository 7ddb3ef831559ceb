"""HTTP: health, readiness and metrics for machines, the picture as JSON.

    WebServer (gevent.pywsgi) --> App (routes) --> pages --> snapshot, calls
                                                        \\-> metrics --> snapshot, counters, statistics

Nothing in here changes anything, and nothing asks for a password: it listens on
the loopback, behind the site's own web server.
"""
