"""The tests say what a user observes."""
