"""What schemathesis has to be told about the API: how the configuration language is sent. Loaded by its command."""

import schemathesis

schemathesis.serializer.alias("application/vnd.mmids.workflow", "text/plain")
