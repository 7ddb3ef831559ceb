"""Two nodes, one outbox each, one that publishes: what the other must know (docs/decisions/watermark.md)."""
