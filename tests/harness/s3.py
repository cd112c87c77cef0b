"""An S3 that is not ours: moto's server, as a process of its own."""

import http.client
import subprocess
import sys
from pathlib import Path

import boto3

from harness.clients import REGION
from harness.daemon import free_port, wait_for


class S3:
    """moto's S3 with a client of it."""

    def __init__(self, folder: Path):
        self.port = free_port()
        program = str(Path(sys.executable).parent / "moto_server")
        self.log = open(folder / "moto.log", "ab")
        self.process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        wait_for(self._serves, "moto to serve")
        session = boto3.session.Session(aws_access_key_id="moto", aws_secret_access_key="moto", region_name=REGION)
        self.client = session.client("s3", endpoint_url=self.url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serves(self) -> bool:
        assert self.process.poll() is None, "moto ended"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/moto-api/")
            connection.getresponse().read()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
