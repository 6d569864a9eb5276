"""codeblue: takes the pulse of services, restarts them within limits, and pages with evidence."""

__version__ = "0.1.0"
