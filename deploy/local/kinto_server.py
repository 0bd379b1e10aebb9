"""Kinto in memory on a free port, a hundred records a page; says where it listens.

Started with PYTHONPATH=.tools/kinto, which `sh deploy/setup.sh real` fills.
"""

import warnings

warnings.filterwarnings("ignore", message=".*pkg_resources.*")

from kinto import main  # noqa: E402
from waitress.server import create_server  # noqa: E402

SETTINGS = {
    "kinto.userid_hmac_secret": "of this machine alone",
    "kinto.storage_backend": "kinto.core.storage.memory",
    "kinto.permission_backend": "kinto.core.permission.memory",
    "kinto.cache_backend": "kinto.core.cache.memory",
    "kinto.bucket_create_principals": "system.Authenticated",
    "kinto.batch_max_requests": "500",
    "kinto.paginate_by": "100",
    "multiauth.policies": "basicauth",
}

server = create_server(main({}, **SETTINGS), host="127.0.0.1", port=0, threads=4)
print(f"kinto: http://127.0.0.1:{server.effective_port}", flush=True)
server.run()
