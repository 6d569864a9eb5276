"""People whom the options of channels name: a name that is nobody's is noticed now, not when he is refused at night."""

from collections.abc import Collection, Mapping

from agent.config.forms import Reading
from agent.config.model import ChannelSpec
from agent.config.nearest import did_you_mean
from agent.config.tree import Entry


def check_named_people(
    channels: Mapping[str, ChannelSpec], entries: list[Entry], people: Collection[str], reading: Reading
) -> None:
    """Report every name in a channel's options that is none of `people`."""
    for entry in entries:
        spec = channels.get(entry.name)
        for path, names in (spec.options.people() if spec else {}).items():
            for name in names:
                if name not in people:
                    message = f"there is no person {name!r}{did_you_mean(name, people)}"
                    reading.report.add(entry.place.at(*path), message)
