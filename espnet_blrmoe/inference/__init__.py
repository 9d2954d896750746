"""Recognition, and scores of what a router hears."""
