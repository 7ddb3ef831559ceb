"""The lab: the daemon on embedded parts, with recorded calls of a real Asterisk played to it."""
