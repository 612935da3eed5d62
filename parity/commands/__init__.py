"""The commands: their arguments, progress and exit statuses."""
