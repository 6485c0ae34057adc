"""An S3 server on loopback, with real HTTP, for the tests that need a bucket."""

import os

import pytest

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # pragma: allowlist secret
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="session")
def s3_server():
    """Start the server and point S3 clients of this process and of those that it starts to it."""
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    changed = _ENVIRONMENT | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    yield changed["AWS_ENDPOINT_URL"]
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    server.stop()


@pytest.fixture
def bucket(s3_server, request):
    """Return the URL of a new bucket."""
    import s3fs

    name = f"bucket-{abs(hash(request.node.nodeid)) % 10**10}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"
