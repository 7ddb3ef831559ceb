"""The manager console: commands as records, sessions without I/O, the telnet server."""
