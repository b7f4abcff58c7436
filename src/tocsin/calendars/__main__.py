"""The child of ``box``: ``python -m tocsin.calendars NOW CPU_SECONDS MEMORY_BYTES``."""

from tocsin.calendars.box import main

main()
