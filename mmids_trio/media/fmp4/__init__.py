"""Fragmented MP4 (ISO/IEC 14496-12, CMAF) from media events, without I/O: init segments, parts and segments."""
