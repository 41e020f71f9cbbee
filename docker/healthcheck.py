"""The image's health check: exits with 0 when the service says that it is ready, and says why when it does not."""

import os
import sys
import urllib.error
import urllib.request

url = f"http://127.0.0.1:{os.environ['SLUICE_PORT']}/health/ready"
try:
    urllib.request.urlopen(url, timeout=4).close()
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code}: {error.read(500).decode(errors='replace')}")
except OSError as error:
    sys.exit(str(error))
