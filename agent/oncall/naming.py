"""Whom the events of a calendar mean."""

import re
from collections.abc import Iterable, Mapping, Sequence

from agent.core.rota import People, Person, Shift
from agent.oncall.calendar import Event


def shifts_of(events: Iterable[Event], people: Mapping[str, Person]) -> tuple[Shift, ...]:
    """The shifts that these events are; those that mean nobody are left out."""
    named = ((event, meant(event, people)) for event in events)
    return tuple(Shift(start=event.start, end=event.end, people=found) for event, found in named if found)


def of_nobody(events: Iterable[Event], people: Mapping[str, Person]) -> Sequence[Event]:
    """Those that mean nobody whom config names."""
    return [event for event in events if not meant(event, people)]


def meant(event: Event, people: Mapping[str, Person]) -> People:
    """Who attends, by his addresses or aliases; without any who is known, all whose name, full name or alias stands in
    the summary, in that order. Case does not matter; of names within names only the longest counts."""
    by_word = {word.casefold(): person.name for person in people.values() for word in _words(person)}
    addresses = by_word | {
        address.casefold(): person.name for person in people.values() for address in person.contacts.values()
    }
    attending = (addresses.get(attendee.casefold()) for attendee in event.attendees)
    found = tuple(dict.fromkeys(name for name in attending if name))
    if found or not by_word:
        return found
    longest_first = "|".join(re.escape(word) for word in sorted(by_word, key=len, reverse=True))
    # an address or a double name that nobody has is not somebody who has a part of it
    words = re.findall(rf"(?<![\w@.-])(?:{longest_first})(?![\w@-])", event.summary.casefold())
    return tuple(dict.fromkeys(by_word[word] for word in words))


def _words(person: Person) -> list[str]:
    return [word for word in (person.name, person.full_name, *person.aliases) if word.strip()]
