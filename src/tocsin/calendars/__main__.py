"""The child of ``box``: ``python -m tocsin.calendars NOW < calendar > answer``."""

from tocsin.calendars.box import main

main()
