"""The slots of a five-field cron expression, as crontab(5) means them."""

from cronsim import CronSim

_HOUR = 3600  # seconds


class CronSlots(CronSim):
    """cronsim's slots, right also where clocks change by a part of an hour (Lord Howe Island: half of one): it goes on
    in whole hours from there, in the middle of each, and passes over the rest of that day's `0 */6 * * *`."""

    def tick(self, seconds: int = 1) -> None:
        if seconds == _HOUR and self.tick_direction == 1:
            seconds -= self.dt.minute * 60 + self.dt.second
        super().tick(seconds)
