"""High availability: the lease that elects the master (file lease for one host)."""
