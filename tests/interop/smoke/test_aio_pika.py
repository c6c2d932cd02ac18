"""What aio-pika sees of the broker: its own recovery after a restart, confirms in parallel, returns, and its RPC and worker patterns."""

import asyncio

import aio_pika
import aiormq
import pytest
from aio_pika.patterns import RPC, Master
from given import URL, name, needs_restart, restart

pytestmark = pytest.mark.asyncio


async def connected(**options):
    return await aio_pika.connect(URL, **options)


async def test_a_failed_channel_is_replaced_by_another():
    async with await connected() as connection:
        for _ in range(10):
            channel = await connection.channel()
            with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity) as error:
                await channel.declare_queue(name("missing"), passive=True)
            assert "NOT_FOUND - no queue 'missing-" in str(error.value)
            assert channel.is_closed
            await channel.reopen()
            queue = await channel.declare_queue(exclusive=True)
            await channel.default_exchange.publish(aio_pika.Message(b"m"), queue.name)
            assert (await queue.get(no_ack=True)).body == b"m"


async def test_redeclaring_otherwise_is_a_precondition_failed():
    async with await connected() as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(name("redeclared"), auto_delete=True)
        with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed) as error:
            await channel.declare_queue(queue.name, auto_delete=False)
        assert "inequivalent arg 'auto_delete' for queue" in str(error.value)


async def test_confirms_of_many_publishes_at_once():
    async with await connected() as connection:
        channel = await connection.channel(publisher_confirms=True)
        queue = await channel.declare_queue(name("confirmed"), durable=True)
        message = lambda n: aio_pika.Message(str(n).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        confirmed = await asyncio.gather(*(channel.default_exchange.publish(message(n), queue.name) for n in range(500)))
        assert all(type(frame).__name__ == "Ack" for frame in confirmed)
        assert (await channel.declare_queue(queue.name, passive=True)).declaration_result.message_count == 500
        await queue.delete(if_empty=False)


async def test_a_returned_message_fails_its_publish():
    async with await connected() as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        with pytest.raises(aio_pika.exceptions.PublishError):
            await channel.default_exchange.publish(aio_pika.Message(b""), name("nowhere"))


async def test_a_message_of_ten_mebibytes_and_an_empty_one():
    async with await connected() as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for body in (b"x" * (10 << 20), b""):
            await channel.default_exchange.publish(aio_pika.Message(body, headers={"n": 1}), queue.name)
            received = await queue.get(no_ack=True)
            assert received.body == body and received.headers == {"n": 1}


async def test_the_consumer_of_a_deleted_queue_is_forgotten():
    async with await connected() as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(name("cancelled"))
        tag = await queue.consume(lambda _: None)
        consumers = (await channel.get_underlay_channel()).consumers
        assert tag in consumers
        await (await connection.channel()).queue_delete(queue.name)
        while tag in consumers:  # until basic.cancel is here
            await asyncio.sleep(0.01)


async def test_a_transaction_is_all_or_nothing():
    async with await connected() as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(exclusive=True)
        publish = lambda body: channel.default_exchange.publish(aio_pika.Message(body), queue.name)
        transaction = channel.transaction()
        await transaction.select()
        await publish(b"taken back")
        await transaction.rollback()
        await publish(b"one")
        await publish(b"two")
        await transaction.commit()
        other = await (await connection.channel()).get_queue(queue.name)
        assert [(await other.get(no_ack=True)).body for _ in range(2)] == [b"one", b"two"]
        assert await other.get(no_ack=True, fail=False) is None


async def test_prefetch_holds_back_what_is_not_acknowledged():
    async with await connected() as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=2)
        queue = await channel.declare_queue(exclusive=True)
        for n in range(4):
            await channel.default_exchange.publish(aio_pika.Message(str(n).encode()), queue.name)
        received = asyncio.Queue()
        await queue.consume(received.put)
        first, second = await received.get(), await received.get()
        # A request after which the third would have come.
        await channel.declare_queue(queue.name, passive=True)
        assert received.empty()
        await first.ack()
        third = await received.get()
        await second.reject(requeue=True)
        again = await received.get()
        assert (third.body, again.body, again.redelivered) == (b"2", b"1", True)


async def test_calls_by_the_rpc_pattern():
    async with await connected() as connection:
        rpc = await RPC.create(await connection.channel())
        method = name("multiply")

        async def multiply(*, x, y):
            return x * y

        await rpc.register(method, multiply, auto_delete=True)
        assert await asyncio.gather(*(rpc.call(method, {"x": n, "y": 3}) for n in range(50))) == [3 * n for n in range(50)]
        await rpc.close()


async def test_tasks_by_the_worker_pattern():
    async with await connected() as connection:
        channel = await connection.channel()
        master, done = Master(channel), asyncio.Queue()

        async def work(*, number):
            await done.put(number)

        queue = name("tasks")
        worker = await master.create_worker(queue, work, durable=True)
        for number in range(20):
            await master.create_task(queue, {"number": number})
        assert [await done.get() for _ in range(20)] == list(range(20))
        await worker.close()
        await channel.queue_delete(queue)


@needs_restart
async def test_a_robust_connection_builds_everything_again():
    """Exclusive queue, auto-delete exchange, binding and consumer are of the client's making: it makes them again."""
    connection = await aio_pika.connect_robust(URL, reconnect_interval=0.1)
    async with connection:
        again = asyncio.Event()
        connection.reconnect_callbacks.add(lambda *_: again.set())
        channel = await connection.channel()
        exchange = await channel.declare_exchange(name("robust"), aio_pika.ExchangeType.TOPIC, auto_delete=True)
        queue = await channel.declare_queue(name("robust"), exclusive=True)
        await queue.bind(exchange, "a.*")
        received = asyncio.Queue()
        await queue.consume(received.put, no_ack=True)
        await exchange.publish(aio_pika.Message(b"before"), "a.b")
        assert (await received.get()).body == b"before"
        for how in ((), ("kill",)):
            again.clear()
            await asyncio.to_thread(restart, *how)
            await again.wait()
            await exchange.publish(aio_pika.Message(b"after"), "a.c")
            assert (await received.get()).body == b"after"
