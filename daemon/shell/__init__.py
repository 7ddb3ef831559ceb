"""Commands of the command line, one file each: `add(commands)` joins them."""
