"""iCalendar (RFC 5545), both ways: shifts as a calendar, a calendar's events as shifts.

``feed`` turns values into bytes and ``reading`` bytes into values; neither does any I/O. ``box``
runs a reading in a process of its own, for what strangers write may never end.
"""
