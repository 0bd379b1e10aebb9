"""Writes zones.csv: for instants in many zones, the start and the end of the bucket that contains them.

Independent of the code under test: it only asks Python's zoneinfo for the local time of single instants, and
finds bucket edges by scanning instants, without any arithmetic on local times.

    python3 zones.py > zones.csv
"""

import random
import sys
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

ZONES = """
UTC Africa/Abidjan Africa/Cairo Africa/Casablanca Africa/Johannesburg Africa/Lagos Africa/Nairobi
America/Anchorage America/Argentina/Buenos_Aires America/Asuncion America/Bogota America/Caracas America/Chicago
America/Denver America/Halifax America/Havana America/Los_Angeles America/Mexico_City America/New_York
America/Phoenix America/Santiago America/Sao_Paulo America/St_Johns Antarctica/Troll Asia/Amman Asia/Beirut
Asia/Dhaka Asia/Dubai Asia/Gaza Asia/Hong_Kong Asia/Jerusalem Asia/Kabul Asia/Kathmandu Asia/Kolkata
Asia/Pyongyang Asia/Riyadh Asia/Seoul Asia/Shanghai Asia/Singapore Asia/Tehran Asia/Tokyo Asia/Yangon
Atlantic/Azores Atlantic/Reykjavik Australia/Adelaide Australia/Darwin Australia/Eucla Australia/Lord_Howe
Australia/Sydney Europe/Berlin Europe/Dublin Europe/Istanbul Europe/Lisbon Europe/London Europe/Moscow
Europe/Paris Pacific/Apia Pacific/Auckland Pacific/Chatham Pacific/Fakaofo Pacific/Honolulu Pacific/Kiritimati
Pacific/Marquesas Pacific/Tongatapu
""".split()

FIRST, LAST = 1995, 2035
QUARTER = 900


def local(zone, second):
    return datetime.fromtimestamp(second, timezone.utc).astimezone(zone)


def transitions(zone):
    """The seconds at which the offset changes."""
    second = int(datetime(FIRST, 1, 2, tzinfo=timezone.utc).timestamp())
    end = int(datetime(LAST, 12, 30, tzinfo=timezone.utc).timestamp())
    found, before = [], local(zone, second).utcoffset()
    while second < end:
        later = second + 86400
        after = local(zone, later).utcoffset()
        if after != before:
            low, high = second, later
            while high - low > 1:
                middle = (low + high) // 2
                if local(zone, middle).utcoffset() == before:
                    low = middle
                else:
                    high = middle
            found.append(high)
        second, before = later, after
    return found


@lru_cache(maxsize=None)
def first_of(zone, day):
    """The first second whose local date is `day` or later."""
    guess = int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())
    second = guess - 36 * 3600
    while local(zone, second + QUARTER).date() < day:
        second += QUARTER
    while local(zone, second).date() < day:
        second += 1
    return second


def hour(zone, at):
    """An hour begins where the clock shows a whole hour, and where the clocks change by a part of one."""

    def begins(second):
        there = local(zone, second)
        change = there.utcoffset() - local(zone, second - 1).utcoffset()
        return (there.minute, there.second) == (0, 0) or change.total_seconds() % 3600 != 0

    # All offsets of these years are whole minutes.
    start = at - at % 60
    end = start + 60
    while not begins(start):
        start -= 60
    while not begins(end):
        end += 60
    return start, end


def month_after(day, months):
    month = day.month - 1 + months
    return date(day.year + month // 12, month % 12 + 1, 1)


def periods(day):
    """First and following date of the day, week (from Monday, from Sunday), month, quarter and year of a date."""
    monday = day - timedelta(days=day.weekday())
    sunday = day - timedelta(days=day.isoweekday() % 7)
    month = day.replace(day=1)
    quarter = date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
    year = date(day.year, 1, 1)
    return [
        (day, day + timedelta(days=1)),
        (monday, monday + timedelta(days=7)),
        (sunday, sunday + timedelta(days=7)),
        (month, month_after(month, 1)),
        (quarter, month_after(quarter, 3)),
        (year, date(day.year + 1, 1, 1)),
    ]


def latest_date(zone, at):
    """The latest local date seen so far: clocks that go back over midnight do not go back to the old day."""
    return max(local(zone, second).date() for second in range(at - 3 * 3600, at + 1, 60) if second <= at)


def main():
    chance = random.Random(1995)
    print("zone,at,hour,hour_end,day,day_end,monday,monday_end,sunday,sunday_end,month,month_end,quarter,quarter_end,year,year_end")
    for name in ZONES:
        zone = ZoneInfo(name)
        changes = transitions(zone)
        chosen = changes if len(changes) <= 8 else changes[:2] + changes[-2:] + chance.sample(changes[2:-2], 4)
        if name == "Pacific/Apia":
            chosen = [change for change in changes if local(zone, change).year in (2010, 2011, 2012)]
        instants = {change + shift for change in chosen for shift in (-1801, -1, 0, 1799)}
        leap = int(datetime(2024, 2, 29, 12, tzinfo=timezone.utc).timestamp())
        begin = int(datetime(FIRST, 1, 10, tzinfo=timezone.utc).timestamp())
        end = int(datetime(LAST, 12, 20, tzinfo=timezone.utc).timestamp())
        instants |= {leap} | {chance.randrange(begin, end) for _ in range(8)}
        for at in sorted(instants):
            row = list(hour(zone, at))
            for start, following in periods(latest_date(zone, at)):
                row += [first_of(zone, start), first_of(zone, following)]
            assert all(row[i] <= at < row[i + 1] for i in range(0, len(row), 2)), (name, at, row)
            print(",".join([name, str(at)] + [str(second) for second in row]))


if __name__ == "__main__":
    sys.exit(main())
