"""DTLS for asyncio: clients and servers whose connections carry messages.

    async with await open_dtls_connection("sensors.example", 5684, context=context) as connection:
        await connection.send(b"21.4")
        async for answer in connection:
            print(answer)

    async def serve(connection):
        async for reading in connection:
            await connection.send(b"seen " + reading)

    async with await start_dtls_server(serve, None, 5684, context=context) as server:
        await server.serve_forever()

Works with every loop that has add_reader(). What was lost in a handshake is sent again by the loop's timers.
"""

from ._aio_client import open_dtls_connection
from ._aio_connection import DTLSConnection
from ._aio_server import Server, start_dtls_server

__all__ = ["DTLSConnection", "Server", "open_dtls_connection", "start_dtls_server"]
