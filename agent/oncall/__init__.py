"""Who is on call in a running agent: the book, the calendars that are read for it, the proof that nobody is missing."""
