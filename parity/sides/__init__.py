"""What can be run and watched."""
