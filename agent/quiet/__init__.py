"""What keeps people from being woken on purpose: silences, maintenance windows, and the book of both."""
