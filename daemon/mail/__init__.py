"""Mail: what comes in, who may ask, what was asked, and the answers."""
