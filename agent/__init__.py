"""codeblue: takes the pulse of services, restarts them within limits, and pages with evidence."""

__version__ = "0.1.0"

SERVER = "codeblue"  # the header by which the command line knows that it asks an agent
