"""Running ffmpeg: its arguments, and children that are fed, read, watched and ended in order."""
