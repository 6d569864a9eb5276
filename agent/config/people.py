"""The people who can be asked, and their addresses."""

from collections.abc import Collection

from agent.config.forms import Reading
from agent.config.nearest import did_you_mean
from agent.config.registry import unique
from agent.config.rota_keys import PersonKeys
from agent.config.tree import Entry
from agent.core.rota import Person


def read_people(entries: list[Entry], channels: Collection[str], reading: Reading) -> dict[str, Person]:
    """Every person that is right; what is wrong is reported. Contacts name configured channels."""
    found = {}
    for entry in unique(entries, "person", reading.report):
        keys = reading.model(PersonKeys, {} if entry.value is None else entry.value, entry.place)
        if not keys:
            continue
        for channel in keys.contacts:
            if channel not in channels:
                message = f"there is no channel {channel!r}{did_you_mean(channel, channels)}"
                reading.report.add(entry.place.at("contacts", channel), message)
        found[entry.name] = Person(
            name=entry.name,
            full_name=keys.name or "",
            contacts=keys.contacts,
            zone=keys.zone or "",
            aliases=keys.aliases,
        )
    return found
