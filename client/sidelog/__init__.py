"""sidelog."""
