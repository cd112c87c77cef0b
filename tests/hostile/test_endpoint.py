"""The AWS endpoint inside the sandbox, used against others and against the daemon."""

import threading

import pytest

from harness import packages
from harness.clients import boto
from harness.functions import Functions
from stage import resident
from tools import *  # noqa: F403 - what attacks use is defined there

OTHER = "999999999999"
MB = 1 << 20


def test_functions_of_another_account(stage, name):
    """Another account's functions can be neither found nor called nor read nor changed, by whatever name."""
    theirs = Functions(boto(stage.daemon.url, "lambda", key=OTHER))
    theirs.python(name, "def handler(event, context):\n    return 'theirs'\n")

    def run(name, other):
        arn = f"arn:aws:lambda:us-east-1:{other}:function:{name}"
        base = "/2015-03-31/functions"
        quoted = arn.replace(":", "%3A")
        mine = "arn:aws:lambda:us-east-1:000000000000:function:attacker"
        credentials = ["000000000000", other, "test", f"{other} ", f"0{other}", f"{other}/x"]
        found = {}
        for credential in credentials:
            for shown in (name, arn, quoted, f"{other}:function:{name}", f"{other}:{name}"):
                key = f"{credential} {shown}"
                found[f"get {key}"] = aws(f"{base}/{shown}", credential=credential)
                found[f"invoke {key}"] = aws(f"{base}/{shown}/invocations", b"{}", credential=credential)
                found[f"delete {key}"] = aws(f"{base}/{shown}", credential=credential, method="DELETE")
        signed = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={other}%2F20260101%2Fus-east-1%2Flambda%2Faws4_request"
        found["in the query"] = aws(f"{base}/{name}?{signed}")
        # Two sources of identity in one request: whichever counts, it must not be the other's.
        found["both"] = aws(f"{base}/{name}?{signed}", credential="000000000000")
        found["header"] = aws(f"{base}/{name}", headers={"X-Amz-Account-Id": other, "X-Forwarded-For": "127.0.0.1"})
        listed = [aws(f"{base}/", credential=credential) for credential in credentials]
        groups = aws("/", b"{}", other, "logs", headers={"X-Amz-Target": "Logs_20140328.DescribeLogGroups", "Content-Type": "application/x-amz-json-1.1"})
        return [found, listed, groups, aws(f"{base}/{mine}/configuration")[0]]

    found, listed, groups, own = stage.attack(run, name, OTHER)
    assert own == 200, "the way itself is open"
    open_doors = {key: answer for key, answer in found.items() if answer[0] < 400 or "theirs" in answer[1]}
    assert open_doors == {}
    for status_code, body in [*listed, groups]:
        assert name not in body or status_code >= 400, body
    assert theirs.invoke(name).good() == "theirs"
    theirs.client.delete_function(FunctionName=name)


def test_downloads_without_a_link(stage):
    """Packages are handed out for a link that the daemon has signed, and for nothing that looks like one."""
    location = stage.lambda_.get_function(FunctionName="victim")["Code"]["Location"]
    link = location.removeprefix(stage.daemon.url)

    def run(link):
        path, _, query = link.partition("?")
        folder = path.rsplit("/", 1)[0]
        flipped = query[:-1] + ("0" if query[-1] != "0" else "1")
        tries = [path, f"{path}?", f"{path}?{flipped}", f"{path}?{query[: len(query) // 2]}", f"{folder}/", folder]
        tries += [f"{folder}/../lambd.db?{query}", f"{folder}/%2e%2e%2flambd.db?{query}", f"{folder}//etc/passwd?{query}"]
        return [aws(one)[0] for one in tries]

    assert "?" in link, "a link has a signature"
    assert [code for code in stage.attack(run, link) if code < 400] == []


def test_paths_of_the_endpoint(stage):
    """Paths that climb, double slashes, encoded separators and odd methods reach no file and no other service."""

    def run():
        paths = ["/../../../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/_lambd/../../etc/passwd"]
        paths += ["/2015-03-31/functions/../../etc/passwd", "/2015-03-31/functions/%2e%2e%2f%2e%2e/invocations"]
        paths += ["/2015-03-31/functions/attacker%00/configuration", "/_lambd/", "/_lambd/shutdown", "/debug/pprof/"]
        return {path: aws(path) for path in paths}

    for path, (code, body) in stage.attack(run).items():
        assert code >= 400, (path, code, body)
        assert "root:" not in body


@pytest.mark.parametrize(
    "begin, refusals", [("", {413}), ('{"Code":{"ZipFile":"', {400, 503})], ids=["garbage", "archive"]
)
def test_large_bodies(stage, name, begin, refusals):
    """Large requests from inside, many at a time, take a bounded amount of the daemon's memory, and of its disk."""
    stage.attacker(name, MemorySize=512)

    def run(begin):
        credential = "000000000000/20260101/us-east-1/lambda/aws4_request"
        head = (
            "POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0\r\n"
            f"Content-Length: {60 << 20}\r\n\r\n"
        ).encode()
        block = b"A" * (1 << 20)
        first = begin.encode() + block[len(begin) :]
        answers = []

        def send():
            with socket.create_connection(("127.0.0.1", ENDPOINT)) as connection:
                connection.settimeout(20)
                try:
                    connection.sendall(head)
                    connection.sendall(first)
                    for _ in range(58):
                        connection.sendall(block)
                    time.sleep(1)
                    connection.sendall(block)
                    answers.append(status(connection.recv(65536).decode()))
                except OSError as error:
                    answers.append(str(error))

        threads = [threading.Thread(target=send) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    before = resident(stage.pid)
    found = []
    busy = threading.Thread(target=lambda: found.append(stage.attack(run, begin, by=name)))
    most = 0
    busy.start()
    while busy.is_alive():
        most = max(most, resident(stage.pid))
        busy.join(0.02)
    (answers,) = found
    # Of archives one fits, at most; others are told to come back later.
    assert set(answers) <= refusals and max(refusals) in answers, answers
    # 960 MB were sent. 96 MB of bodies are held for one sandbox, archives on disk.
    assert most - before < 150 * MB, (most - before) / MB
    code = packages.package({"app.py": "def handler(event, context):\n    return 1\n"})
    stage.lambda_.update_function_code(FunctionName=name, ZipFile=code)
