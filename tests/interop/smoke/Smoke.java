// What the Java client sees of the broker: one `ok NAME` or `not ok NAME: why` for each test.

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.BuiltinExchangeType;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class Smoke {
    static final int PATIENCE_S = 30;
    static final String RESTART = System.getenv("INTEROP_RESTART");
    static boolean failed;

    interface Test { void run() throws Exception; }

    static ConnectionFactory factory() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("INTEROP_URL"));
        factory.setNetworkRecoveryInterval(200);
        return factory;
    }

    static void restart(String... arguments) throws Exception {
        Process process = new ProcessBuilder("sh", "-c", RESTART + " " + String.join(" ", arguments)).inheritIO().start();
        same(0, process.waitFor());
    }

    static String name(String of) {
        return of + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    static void same(Object expected, Object found) {
        if (expected == null ? found != null : !expected.equals(found)) {
            throw new AssertionError(found + " instead of " + expected);
        }
    }

    static <T> T next(BlockingQueue<T> queue) throws InterruptedException {
        T item = queue.poll(PATIENCE_S, TimeUnit.SECONDS);
        if (item == null) throw new AssertionError("nothing came");
        return item;
    }

    /** The reply code and text with which the broker closed a channel or connection during `what`. */
    static AMQP.Channel.Close closed(Test what) throws Exception {
        try {
            what.run();
        } catch (IOException error) {
            if (error.getCause() instanceof ShutdownSignalException) {
                return (AMQP.Channel.Close) ((ShutdownSignalException) error.getCause()).getReason();
            }
            throw error;
        } catch (AlreadyClosedException error) {
            return (AMQP.Channel.Close) error.getReason();
        }
        throw new AssertionError("the channel was not closed");
    }

    static DefaultConsumer collector(Channel channel, BlockingQueue<String> bodies, BlockingQueue<String> cancelled) {
        return new DefaultConsumer(channel) {
            @Override public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
                bodies.add(new String(body));
            }

            @Override public void handleCancel(String tag) {
                cancelled.add(tag);
            }
        };
    }

    static void test(String name, Test test) {
        try {
            test.run();
            System.out.println("ok " + name);
        } catch (Exception | AssertionError error) {
            failed = true;
            System.out.println("not ok " + name + ": " + error.toString().replace('\n', ' '));
            error.printStackTrace(System.out);
        }
    }

    static void testWithRestart(String name, Test test) {
        if (RESTART == null) {
            System.out.println("skip " + name + ": a given broker is not restarted");
        } else {
            test(name, test);
        }
    }

    public static void main(String[] arguments) {
        test("an error closes its channel and nothing else", () -> {
            try (Connection connection = factory().newConnection()) {
                Channel other = connection.createChannel();
                String queue = other.queueDeclare().getQueue();
                for (int i = 0; i < 10; i++) {
                    Channel channel = connection.createChannel();
                    AMQP.Channel.Close close = closed(() -> channel.queueDeclarePassive(name("missing")));
                    same(404, close.getReplyCode());
                    same(true, close.getReplyText().startsWith("NOT_FOUND - no queue 'missing-"));
                    same(false, channel.isOpen());
                }
                other.basicPublish("", queue, null, "m".getBytes());
                same("m", new String(other.basicGet(queue, true).getBody()));
            }
        });
        test("a number is used again after an error", () -> {
            try (Connection connection = factory().newConnection()) {
                for (int i = 0; i < 3; i++) {
                    Channel channel = connection.createChannel(4);
                    BlockingQueue<ShutdownSignalException> reasons = new LinkedBlockingQueue<>();
                    channel.addShutdownListener(reasons::add);
                    channel.basicPublish(name("missing"), "", null, new byte[0]);
                    same(404, ((AMQP.Channel.Close) next(reasons).getReason()).getReplyCode());
                }
                same(true, connection.createChannel(4).queueDeclare().getQueue().startsWith("amq.gen-"));
            }
        });
        test("redeclaring otherwise is refused", () -> {
            try (Connection connection = factory().newConnection()) {
                String queue = name("q");
                connection.createChannel().queueDeclare(queue, false, true, false, null);
                Map<String, Object> lasting = new HashMap<>();
                lasting.put("x-message-ttl", 1000);
                AMQP.Channel.Close close = closed(() -> connection.createChannel().queueDeclare(queue, false, true, false, lasting));
                same(406, close.getReplyCode());
                same("PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '" + queue
                    + "' in vhost '/': received the value '1000' of type 'signedint' but current is none", close.getReplyText());
            }
        });
        test("confirms and returns", () -> {
            try (Connection connection = factory().newConnection()) {
                Channel channel = connection.createChannel();
                channel.confirmSelect();
                String queue = name("confirmed");
                channel.queueDeclare(queue, true, false, false, null);
                BlockingQueue<String> returned = new LinkedBlockingQueue<>();
                channel.addReturnListener((code, text, exchange, key, properties, body) -> returned.add(code + " " + text + " " + new String(body)));
                for (int i = 0; i < 500; i++) {
                    channel.basicPublish("", queue, MessageProperties.PERSISTENT_TEXT_PLAIN, "m".getBytes());
                }
                channel.basicPublish("", name("nowhere"), true, null, "lost".getBytes());
                channel.waitForConfirmsOrDie(PATIENCE_S * 1000);
                same("312 NO_ROUTE lost", next(returned));
                same(500, channel.queueDelete(queue).getMessageCount());
            }
        });
        test("a consumer hears that its queue is gone", () -> {
            try (Connection connection = factory().newConnection()) {
                Channel channel = connection.createChannel();
                String queue = name("cancelled");
                channel.queueDeclare(queue, true, false, false, null);
                BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();
                String tag = channel.basicConsume(queue, true, collector(channel, new LinkedBlockingQueue<>(), cancelled));
                connection.createChannel().queueDelete(queue);
                same(tag, next(cancelled));
                same(true, channel.isOpen());
            }
        });
        test("put back, rejected and recovered messages", () -> {
            try (Connection connection = factory().newConnection()) {
                Channel channel = connection.createChannel();
                String queue = channel.queueDeclare().getQueue();
                for (int i = 0; i < 4; i++) channel.basicPublish("", queue, null, ("" + i).getBytes());
                long[] tags = new long[4];
                for (int i = 0; i < 4; i++) tags[i] = channel.basicGet(queue, false).getEnvelope().getDeliveryTag();
                channel.basicReject(tags[0], false);
                channel.basicNack(tags[2], true, true);
                channel.basicRecover(true);
                for (String expected : Arrays.asList("1", "2", "3")) {
                    GetResponse response = channel.basicGet(queue, true);
                    same(expected, new String(response.getBody()));
                    same(true, response.getEnvelope().isRedeliver());
                }
                same(null, channel.basicGet(queue, true));
            }
        });
        test("bodies of every length around a frame", () -> {
            for (int frameMax : new int[] {4096, 131072}) {
                ConnectionFactory factory = factory();
                factory.setRequestedFrameMax(frameMax);
                try (Connection connection = factory.newConnection()) {
                    same(frameMax, connection.getFrameMax());
                    Channel channel = connection.createChannel();
                    String queue = channel.queueDeclare().getQueue();
                    int payload = frameMax - 8;
                    for (int length : new int[] {0, 1, payload - 1, payload, payload + 1, 2 * payload, 2 * payload + 1, 9 << 20}) {
                        byte[] body = new byte[length];
                        Arrays.fill(body, (byte) length);
                        channel.basicPublish("", queue, null, body);
                        same(true, Arrays.equals(body, channel.basicGet(queue, true).getBody()));
                    }
                }
            }
        });
        test("headers of every type and all properties", () -> {
            try (Connection connection = factory().newConnection()) {
                Channel channel = connection.createChannel();
                String queue = channel.queueDeclare().getQueue();
                Map<String, Object> table = new HashMap<>();
                table.put("inner", 1);
                Map<String, Object> headers = new HashMap<>();
                headers.put("true", true);
                headers.put("byte", (byte) -1);
                headers.put("short", (short) -300);
                headers.put("int", -70000);
                headers.put("long", 1L << 40);
                headers.put("float", 1.5f);
                headers.put("double", 2.5);
                headers.put("decimal", new BigDecimal("3.14"));
                headers.put("time", new Date(1_700_000_000_000L));
                headers.put("nothing", null);
                headers.put("table", table);
                headers.put("list", Arrays.asList(1, 2L, true));
                AMQP.BasicProperties sent = new AMQP.BasicProperties("text/plain", "utf-8", headers, 2, 3, "c", "r", "60000", "m",
                    new Date(1_700_000_000_000L), "t", "guest", "a", "k");
                channel.basicPublish("", queue, sent, new byte[0]);
                AMQP.BasicProperties found = channel.basicGet(queue, true).getProps();
                for (String key : headers.keySet()) {
                    same(headers.get(key), found.getHeaders().get(key));
                }
                same(sent.builder().headers(null).build().toString(), found.builder().headers(null).build().toString());
            }
        });
        test("an idle connection lives by heartbeats", () -> {
            ConnectionFactory factory = factory();
            factory.setRequestedHeartbeat(1);
            factory.setAutomaticRecoveryEnabled(false);
            try (Connection connection = factory.newConnection()) {
                BlockingQueue<ShutdownSignalException> reasons = new LinkedBlockingQueue<>();
                connection.addShutdownListener(reasons::add);
                // The client gives up after two intervals without a byte from the broker.
                same(null, reasons.poll(5, TimeUnit.SECONDS));
                same(true, connection.createChannel().queueDeclare().getQueue() != null);
            }
        });
        test("calls over the reply queue of the client", () -> {
            try (Connection connection = factory().newConnection()) {
                Channel channel = connection.createChannel();
                String queue = channel.queueDeclare().getQueue();
                RpcServer server = new RpcServer(connection.createChannel(), queue) {
                    @Override public byte[] handleCall(byte[] request, AMQP.BasicProperties properties) {
                        return ("<" + new String(request) + ">").getBytes();
                    }
                };
                Thread thread = new Thread(() -> {
                    try {
                        server.mainloop();
                    } catch (IOException | ShutdownSignalException ended) {
                        // The connection was closed.
                    }
                });
                thread.setDaemon(true);
                thread.start();
                RpcClient client = new RpcClient(connection.createChannel(), "", queue, PATIENCE_S * 1000);
                for (int i = 0; i < 20; i++) same("<" + i + ">", client.stringCall("" + i));
                client.close();
            }
        });
        test("a wrong password is refused in words", () -> {
            ConnectionFactory factory = factory();
            factory.setPassword("wrong");
            try {
                factory.newConnection();
                throw new AssertionError("it was accepted");
            } catch (AuthenticationFailureException error) {
                same(true, error.getMessage().startsWith("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."));
            }
        });
        testWithRestart("a publisher is told that the disk is low", () -> {
            restart("--disk-low-bytes", "1024GiB");
            Connection connection = factory().newConnection();
            try {
                BlockingQueue<String> told = new LinkedBlockingQueue<>();
                connection.addBlockedListener(told::add, () -> told.add("unblocked"));
                connection.createChannel().basicPublish("", "nowhere", null, new byte[0]);
                same("low on disk", next(told));
            } finally {
                restart();
                connection.abort(1000);
            }
        });
        testWithRestart("after a restart the client makes its topology again", () -> {
            try (Connection connection = factory().newConnection()) {
                BlockingQueue<String> recovered = new LinkedBlockingQueue<>();
                ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
                    @Override public void handleRecovery(Recoverable recoverable) { recovered.add("yes"); }

                    @Override public void handleRecoveryStarted(Recoverable recoverable) { }
                });
                Channel channel = connection.createChannel();
                String exchange = name("recovered");
                channel.exchangeDeclare(exchange, BuiltinExchangeType.TOPIC, false, true, null);
                String queue = channel.queueDeclare().getQueue();
                channel.queueBind(queue, exchange, "a.#");
                channel.confirmSelect();
                BlockingQueue<String> bodies = new LinkedBlockingQueue<>();
                channel.basicConsume(queue, true, collector(channel, bodies, new LinkedBlockingQueue<>()));
                for (List<String> how : Arrays.asList(Arrays.<String>asList(), Arrays.asList("kill"))) {
                    restart(how.toArray(new String[0]));
                    next(recovered);
                    channel.basicPublish(exchange, "a.b", null, "after".getBytes());
                    channel.waitForConfirmsOrDie(PATIENCE_S * 1000);
                    same("after", next(bodies));
                }
            }
        });
        System.exit(failed ? 1 : 0);
    }
}
