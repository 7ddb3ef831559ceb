"""Who is who: clients, endpoints and message servers from the definition files."""
