"""Recordings: found among millions, made MP3, packed and published."""
