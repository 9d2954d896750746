"""Command lines of the plugin."""
