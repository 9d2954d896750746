"""Trained models as files: read, written, pruned, extended, shared and exported."""
