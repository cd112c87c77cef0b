"""The least that Python can do: it connects and sends back what comes."""
import os

import _socket

host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
connection.connect((host, int(port)))
connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
while True:
    received = connection.recv(65536)
    if not received:
        break
    connection.sendall(received)
