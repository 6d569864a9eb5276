"""What decides: nouns (result, policy, state, commands, events) and pure functions over them.

Everything here is immutable and knows no clock, no I/O and no library but the standard one. Times are aware UTC
datetimes; durations are timedeltas; a phase or a value is a float in base units (seconds, bytes, ratios).
"""
