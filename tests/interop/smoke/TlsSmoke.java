// What the Java client sees of the broker over TLS: one `ok NAME` or `not ok NAME: why` for each test.

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultSaslConfig;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.security.KeyStore;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReference;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class TlsSmoke {
    static final char[] PASSWORD = "secret".toCharArray();
    static final String[] HOSTS = {"127.0.0.1", "localhost"};
    static final String[] VERSIONS = {"TLSv1.2", "TLSv1.3"};
    static boolean failed;

    interface Test { void run() throws Exception; }

    static InputStream file(String name) throws IOException {
        return new FileInputStream(System.getenv("INTEROP_CERTIFICATES") + "/" + name);
    }

    /** A client that trusts one authority, speaks one version, and shows a certificate unless that is null. */
    static class Client {
        final ConnectionFactory factory = new ConnectionFactory();
        final AtomicReference<SSLSocket> socket = new AtomicReference<>();

        Client(String authority, String version, String certificate) throws Exception {
            KeyStore trusted = KeyStore.getInstance("PKCS12");
            trusted.load(null, null);
            try (InputStream pem = file(authority + ".pem")) {
                trusted.setCertificateEntry("authority", CertificateFactory.getInstance("X.509").generateCertificate(pem));
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
            trust.init(trusted);
            KeyManager[] keys = null;
            if (certificate != null) {
                KeyStore own = KeyStore.getInstance("PKCS12");
                try (InputStream keystore = file(certificate + ".p12")) {
                    own.load(keystore, PASSWORD);
                }
                KeyManagerFactory managers = KeyManagerFactory.getInstance("PKIX");
                managers.init(own, PASSWORD);
                keys = managers.getKeyManagers();
            }
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(keys, trust.getTrustManagers(), null);
            factory.useSslProtocol(context);
            factory.setAutomaticRecoveryEnabled(false);
            factory.setPort(Integer.parseInt(System.getenv("INTEROP_TLS_PORT")));
            factory.setHost(HOSTS[0]);
            factory.setSocketConfigurator(made -> {
                made.setTcpNoDelay(true);
                socket.set((SSLSocket) made);
                SSLParameters parameters = socket.get().getSSLParameters();
                // The broker's certificate must name its host.
                parameters.setEndpointIdentificationAlgorithm("HTTPS");
                parameters.setProtocols(new String[] {version});
                socket.get().setSSLParameters(parameters);
            });
        }

        Client external() {
            factory.setSaslConfig(DefaultSaslConfig.EXTERNAL);
            return this;
        }

        void isRefused() throws Exception {
            try {
                factory.newConnection().abort();
            } catch (IOException expected) {
                return;
            }
            throw new AssertionError("it was let in");
        }
    }

    static void same(Object expected, Object found) {
        if (expected == null ? found != null : !expected.equals(found)) {
            throw new AssertionError(found + " instead of " + expected);
        }
    }

    /** Sends a message of two megabytes to itself, by the name of `user`; the broker's words if it closes the channel. */
    static String speak(Connection connection, String user) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        String queue = channel.queueDeclare().getQueue();
        byte[] body = new byte[2 << 20];
        Arrays.fill(body, (byte) 't');
        try {
            channel.basicPublish("", queue, new AMQP.BasicProperties.Builder().userId(user).build(), body);
            channel.waitForConfirmsOrDie(30_000);
        } catch (ShutdownSignalException closed) {
            AMQP.Channel.Close close = (AMQP.Channel.Close) closed.getReason();
            return close.getReplyCode() + " " + close.getReplyText();
        }
        same(true, Arrays.equals(body, channel.basicGet(queue, true).getBody()));
        return "";
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

    public static void main(String[] arguments) {
        // What Java itself refuses to speak is for the broker to refuse here.
        Security.setProperty("jdk.tls.disabledAlgorithms", "");
        for (String version : VERSIONS) {
            test("java speaks " + version, () -> {
                for (String host : HOSTS) {
                    Client client = new Client("authority", version, null);
                    client.factory.setHost(host);
                    try (Connection connection = client.factory.newConnection()) {
                        same(version, client.socket.get().getSession().getProtocol());
                        same("", speak(connection, null));
                    }
                }
            });
        }
        test("java and TLSv1.1 do not get in", () -> new Client("authority", "TLSv1.1", null).isRefused());
        test("java does not trust a broker by another authority", () -> {
            try {
                new Client("stranger", "TLSv1.3", null).factory.newConnection().abort();
                throw new AssertionError("it was trusted");
            } catch (SSLException expected) {
                same(true, expected.toString().contains("PKIX path"));
            }
        });
        test("java logs in by its certificate", () -> {
            for (String version : VERSIONS) {
                try (Connection connection = new Client("authority", version, "client").external().factory.newConnection()) {
                    same("", speak(connection, "client"));
                    String refusal = speak(connection, "guest");
                    same(true, refusal.startsWith("406 ") && refusal.contains("authenticated user was 'client'"));
                }
            }
        });
        test("java logs in by a password beside its certificate", () -> {
            try (Connection connection = new Client("authority", "TLSv1.3", "client").factory.newConnection()) {
                same("", speak(connection, "guest"));
            }
        });
        test("java without a certificate does not log in by one", () ->
            new Client("authority", "TLSv1.3", null).external().isRefused());
        test("java does not get in by a stranger's certificate", () -> {
            for (String version : VERSIONS) new Client("authority", version, "impostor").external().isRefused();
        });
        System.exit(failed ? 1 : 0);
    }
}
