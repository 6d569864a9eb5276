"""A soak of the real daemon among real things that break all the time, judged from outside: `python -m bench soak`."""
