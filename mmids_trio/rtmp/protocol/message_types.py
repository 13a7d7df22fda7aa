"""The message type ids that connections know by name (RTMP 1.0 §5.4, §7.1).

The two that concern chunks alone stay in the chunk layer.
"""

ACKNOWLEDGEMENT = 3
USER_CONTROL = 4
WINDOW_ACKNOWLEDGEMENT_SIZE = 5
SET_PEER_BANDWIDTH = 6
AUDIO = 8
VIDEO = 9
DATA_AMF3 = 15
COMMAND_AMF3 = 17
DATA_AMF0 = 18
COMMAND_AMF0 = 20
AGGREGATE = 22
