# Knocks with a certificate, without one, and with one that it has looked at the server's for.
import socket
import tls

PORT = 8443


def knock(ctx):
    s = socket.socket()
    s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
    try:
        s = ctx.wrap_socket(s, server_hostname="localhost")
        s.write(b"open")
        print(s.read(7))
    except OSError as er:
        print(er.args[1])
    s.close()


def context():
    ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    ctx.load_verify_locations(cafile="ca.pem")
    return ctx


def look(cert, depth):
    depths.append(depth)
    return 0


depths = []
ctx = context()
ctx.load_cert_chain("client.pem", "client.key")
knock(ctx)
knock(context())
ctx.verify_callback = look
knock(ctx)
print(depths)
