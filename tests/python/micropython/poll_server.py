# A server that never waits in a call: one poll for the listener and its clients, handshakes included.
import select
import socket
import ussl

PORT = 8443

with open("server.der", "rb") as f:
    cert = f.read()
with open("server-sec1.der", "rb") as f:
    key = f.read()

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("0.0.0.0", PORT)[0][-1])
listener.listen(2)
print("ready", flush=True)

poller = select.poll()
poller.register(listener, select.POLLIN)
clients = {}
served = 0
while served < 2:
    for fd, event in poller.poll():
        if fd == listener.fileno():
            conn, addr = listener.accept()
            conn.setblocking(False)
            conn = ussl.wrap_socket(conn, server_side=True, key=key, cert=cert, do_handshake=False)
            clients[conn.fileno()] = conn
            poller.register(conn, select.POLLIN)
            continue
        conn = clients[fd]
        data = conn.read(100)
        if data is None:
            continue
        if data:
            conn.write(data.upper())
            continue
        served += 1
        poller.unregister(conn)
        conn.close()
print("served", served)
listener.close()
