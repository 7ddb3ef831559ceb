"""SSH between the hosts and to the telephone servers."""
