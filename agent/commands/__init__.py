"""What the subcommands do; agent/cli.py only parses and prints."""
