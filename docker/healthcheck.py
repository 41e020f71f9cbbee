"""The image's health check: exits with 0 when the service says that it is ready, and says why when it does not."""

import os
import sys
import urllib.error
import urllib.request

# Docker gives containers the user's http_proxy, which knows nothing of this address.
straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
url = f"http://127.0.0.1:{os.environ['SLUICE_PORT']}/health/ready"
try:
    straight.open(url, timeout=4).close()
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code}: {error.read(500).decode(errors='replace')}")
except OSError as error:
    sys.exit(str(error))
