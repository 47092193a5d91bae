"""The independent side: python3-dateutil finds the days, zoneinfo the instants.

One JSON question a line, one JSON answer a line. Where dateutil itself departs from RFC 5545 the rule is put to it in
other words with the same meaning, and the answer names it.
"""

import datetime as dt
import json
import sys
import types
from zoneinfo import ZoneInfo

from dateutil import rrule

WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)

MIXED = "BYDAY=MO,2TU: dateutil wants days that are both, RFC 5545 takes either"
CUT_WEEK = "BYSETPOS of the first week: dateutil leaves out the days before DTSTART, RFC 5545's example of a month counts them"
DATE = "UNTIL=20261231: dateutil ends at its midnight; RFC 5545 has no date beside a time, ours ends with that day"


def main():
    # dateutil looks for days until the year 9999.
    rrule.datetime = types.SimpleNamespace(**vars(dt) | {"MAXYEAR": int(sys.argv[1])})
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(question):
    notes = []
    zone = ZoneInfo(question["zone"])
    start = dt.datetime.fromisoformat(question["start"])
    occurrences = locals_of(question["rule"], start, zone, notes)
    wanted = [{"after": after, "found": []} for after in question["after"]]
    last = None
    for local in occurrences:
        at = instant(local, zone)
        if last is not None and at <= last:
            continue
        last = at
        open_ones = [one for one in wanted if len(one["found"]) < question["count"]]
        if not open_ones:
            break
        for one in open_ones:
            if at > one["after"]:
                one["found"].append([local.isoformat(), at])
    return {"found": [one["found"] for one in wanted], "notes": notes}


def locals_of(text, start, zone, notes):
    """What the clock on the wall shows, from the start on."""
    rule = dict(part.split("=") for part in text.split(";"))
    rule = in_other_words(rule, notes)
    if "UNTIL" in rule and len(rule["UNTIL"]) == 8:
        notes.append(DATE)
        rule["UNTIL"] += "T235959"
    if rule.get("FREQ") == "WEEKLY" and "BYSETPOS" in rule:
        notes.append(CUT_WEEK)
        rule.setdefault("BYDAY", WEEKDAYS[start.weekday()])
        count = int(rule.pop("COUNT", 0))
        back = (start.weekday() - WEEKDAYS.index(rule.get("WKST", "MO"))) % 7
        whole = parse(rule, start - dt.timedelta(days=back), zone)
        return first(count, (local for local in whole if local >= start))
    return parse(rule, start, zone)


def in_other_words(rule, notes):
    days = rule.get("BYDAY", "").split(",")
    plain = [day for day in days if day in WEEKDAYS]
    if rule["FREQ"] == "MONTHLY" and plain and len(plain) < len(days):
        notes.append(MIXED)
        numbered = [day for day in days if day not in plain]
        numbered += [f"{nth}{day}" for day in plain for nth in range(1, 6)]
        return rule | {"BYDAY": ",".join(numbered)}
    return rule


def parse(rule, start, zone):
    """With an end in UTC dateutil compares instants, and wants a start with a zone."""
    in_utc = rule.get("UNTIL", "").endswith("Z")
    text = ";".join(f"{name}={value}" for name, value in rule.items())
    begin = start.replace(tzinfo=zone) if in_utc else start
    return (local.replace(tzinfo=None) for local in rrule.rrulestr(text, dtstart=begin))


def first(count, items):
    for number, item in enumerate(items, 1):
        yield item
        if number == count:
            return


def instant(local, zone):
    """fold=0: before the gap, and the first of two (PEP 495), as RFC 5545 has it."""
    return (local.replace(tzinfo=zone, fold=0) - EPOCH) // dt.timedelta(milliseconds=1)


main()
