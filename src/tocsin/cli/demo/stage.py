"""The demo from its beginning to its end: what plays, and what is seen of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from dataclasses import dataclass

from rich.console import Console

from tocsin.boot import Parts, Store, free_port, serve
from tocsin.cli.demo.practice import Practice, practice
from tocsin.cli.demo.scenes import play, scenes
from tocsin.cli.demo.screen import Lines, Screen, say_goodbye
from tocsin.cli.demo.show import Show
from tocsin.cli.demo.story import Clock, Over, Story
from tocsin.cli.demo.world import Pace, world
from tocsin.core.access import EVERYTHING
from tocsin.store import views
from tocsin.store.deliveries import delivery_page
from tocsin.store.lists import Filter


def run_demo(seconds: int | None) -> Show:
    """Run the demo, for so long or until Ctrl-C; return what happened."""
    show, clock = Show(base=f"http://127.0.0.1:{free_port()}"), Clock()
    with (
        practice() as sentry,
        world(show, Pace(clock=clock)) as store,
        contextlib.suppress(KeyboardInterrupt),
    ):
        asyncio.run(_Stage(store, show, sentry, clock).perform(seconds))
    say_goodbye(show)
    return show


@dataclass(frozen=True, slots=True)
class _Stage:
    """What the demo takes."""

    store: Store
    show: Show
    sentry: Practice
    clock: Clock

    async def perform(self, seconds: int | None) -> None:
        """Serve, play and draw; end in good order."""
        stop, ready, over = asyncio.Event(), asyncio.Event(), threading.Event()
        serving = asyncio.create_task(serve(self.store, Parts(), stop, ready, clock=self.clock))
        await ready.wait()
        playing = asyncio.create_task(asyncio.to_thread(self._play, over))
        console = Console()
        screen = Screen(console) if console.is_terminal else Lines(console)
        with screen:
            try:
                async with asyncio.timeout(seconds):
                    while not playing.done():
                        await asyncio.to_thread(self._look)
                        screen.update(self.show)
                        await asyncio.sleep(0.2)
            except TimeoutError:
                pass
            finally:
                over.set()
                try:
                    # Whatever is on its way still finds a Tocsin that answers.
                    await playing
                    await asyncio.to_thread(self.sentry.do, "settle")
                    await asyncio.to_thread(self._look)
                    screen.update(self.show)
                finally:
                    stop.set()
                    await serving

    def _play(self, over: threading.Event) -> None:
        """Play the story once, then rounds of scenes, until it is over."""
        story = Story(self.store, self.show, self.sentry, self.clock, over)
        with contextlib.suppress(Over):
            story.play()
            # From here on it is as late as it is, however the story went.
            self.clock.catch_up()
            for number in itertools.count():
                for scene in scenes(number):
                    self.show.scene = scene.says
                    play(self.store, self.show, scene, self.clock())
                    story.sleep(scene.pause)

    def _look(self) -> None:
        show = self.show
        show.settled = sum(step.state != "doing" for step in show.steps)
        with self.store.database.read() as connection:
            plans = self.store.plans.current(connection)
            show.deliveries = delivery_page(connection, plans, EVERYTHING, Filter(limit=10)).items
            show.incidents = views.incident_page(
                connection, plans, EVERYTHING, Filter(limit=6)
            ).items
        if not show.answers:
            # Once the scenes begin, the fake Sentry has nothing more to tell.
            show.sent = self.sentry.sent()
