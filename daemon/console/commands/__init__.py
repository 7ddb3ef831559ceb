"""The console commands, one file a group."""
