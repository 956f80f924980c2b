# ends: exception
# says: ConnectionRefusedError
# transient: yes
import socket
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
socket.create_connection(("127.0.0.1", port))
