"""What a workflow puts around a step, for tests of one step alone: its inbox, and the outlets in front and behind."""

from mmids_trio.workflow.links import ChannelInbox, Outlet

__all__ = ["ChannelInbox", "Outlet"]
