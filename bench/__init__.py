"""codeblue beside Debian's Prometheus + blackbox_exporter and monit, on the same targets: `python -m bench`."""
