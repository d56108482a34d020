"""Serves any number of DTLS clients with asyncio, as dtls_server.py does without: prints each message behind its
sender's identity and sends it back. Tells all clients now and then how many there are. SIGHUP reads the keys again,
for new handshakes."""

import asyncio
import signal

import ssl_shim
from example_common import Options, address_name, fail, printable, run, seconds, sentence, show, tell


def options():
    parser = Options(__doc__)
    parser.add_server_options()
    parser.add_argument("--period", metavar="S", type=seconds, default=60, help="between broadcasts (default: 60)")
    return parser.parse_args()


class Service:
    def __init__(self):
        self.connections = set()

    async def serve(self, connection):
        identity = printable(connection.get_extra_info("psk_identity"))
        name = f"{address_name(connection.get_extra_info('peername'))} {identity}"
        cipher, _ = connection.get_extra_info("cipher", ("what is over already", None))
        tell(f"{name} connected with {cipher}")
        self.connections.add(connection)
        try:
            async for message in connection:
                show(f"{identity} {printable(message)}")
                await self.answer(connection, name, message)
            tell(f"{name} has closed")
        except OSError as error:
            tell(f"{name} ended: {sentence(error)}")
        finally:
            self.connections.discard(connection)

    async def answer(self, connection, name, message):
        try:
            await connection.send(message)
        except OSError as error:
            tell(f"{name} gets no answer: {sentence(error)}")

    async def broadcast(self, period):
        while True:
            await asyncio.sleep(period)
            news = f"clients: {len(self.connections)}".encode()
            await asyncio.gather(*(each.send(news) for each in self.connections), return_exceptions=True)


async def listen(service, context, where):
    try:
        return await ssl_shim.aio.start_dtls_server(service.serve, *where, context=context)
    except OSError as error:
        fail(f"cannot listen on {address_name(where)}: {sentence(error)}", 2)


async def serve(args):
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, args.psk_file.reload)
    loop.add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    context = ssl_shim.SSLContext(ssl_shim.PROTOCOL_DTLS_SERVER)
    context.server_psk_keys = args.psk_file
    service = Service()
    async with await listen(service, context, args.listen) as server:
        for sock in server.sockets:
            tell(f"listening on {address_name(sock.getsockname())}")
        broadcast = asyncio.create_task(service.broadcast(args.period))
        await server.serve_forever()
        broadcast.cancel()
    fail("the socket failed")


def main():
    asyncio.run(serve(options()))


if __name__ == "__main__":
    run(main)
