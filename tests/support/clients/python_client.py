"""python python_client.py URL BODY_FILE HEADERS_AS_JSON HOW: prints the status of each of 3 POSTs, or why it was lost."""

import http.client
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

url, file, headers = urlsplit(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
for _ in range(3):
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=90)
    try:
        connection.request("POST", url.path, body=file.read_bytes(), headers=headers)
        print(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        print(f"lost: {error!r}")
    finally:
        connection.close()
