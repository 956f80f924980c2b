# ends: exception
# says: Address already in use
# transient: yes
import socket
first = socket.socket()
first.bind(("127.0.0.1", 0))
second = socket.socket()
second.bind(first.getsockname())
