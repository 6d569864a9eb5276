"""Fire drills: a synthetic incident goes the whole way of a real one, and every leg of it is looked at."""
