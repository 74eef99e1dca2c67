"""Looking at values while a program runs; the contexts that find mistakes are in `volta`."""

from volta.debug.effects import breakpoint, callback, print

__all__ = ["breakpoint", "callback", "print"]
