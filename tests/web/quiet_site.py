"""A site with a book of silences and windows."""

import json
from dataclasses import dataclass, replace
from typing import Any

from agent.core.policy import Policy
from agent.quiet.book import Book, Subject
from agent.quiet.desk import Desk
from agent.web.api import WebDeps
from tests.web.site import Site, serving

LABELS = {"photos-api": {"team": "photos"}, "mail": {"team": "office"}}


@dataclass
class QuietSite(Site):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.book = Book(store=self.store, now=lambda: self.now, services=self.subjects, changed=lambda: None)
        for row in self.services:
            self.policies.setdefault(row.name, Policy(service=row.name, labels=LABELS.get(row.name, {})))
        self.desk = Desk(self.book, lambda service, event: self.told.append((service, event)))

    def subjects(self) -> list[Subject]:
        return [
            Subject(
                Policy(service=row.name, labels=LABELS.get(row.name, {})),
                row.state.incident.id if row.state.incident else "",
            )
            for row in self.services
        ]

    def deps(self) -> WebDeps:
        return replace(super().deps(), desk=self.desk)

    async def says(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        async with serving(self) as browser:
            found = await browser.ask(path, method=method, body=b"" if body is None else json.dumps(body).encode())
        return found.status, json.loads(found.body)
