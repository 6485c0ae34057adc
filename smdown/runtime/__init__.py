"""The only room that knows clusters: profiles, the client, the loop that runs a plan, and its progress."""

from smdown.runtime.client import open_client
from smdown.runtime.execute import execute
from smdown.runtime.outcome import Outcome, StoppedError
from smdown.runtime.profile import Profile, load_profile
from smdown.runtime.progress import Bar, Progress, open_progress

__all__ = [
    "Bar", "Outcome", "Profile", "Progress", "StoppedError", "execute", "load_profile", "open_client", "open_progress",
]  # fmt: skip
