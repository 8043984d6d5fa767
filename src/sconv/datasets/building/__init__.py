"""What the sources of data share."""
