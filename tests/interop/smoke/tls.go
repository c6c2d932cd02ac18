// What amqp091-go sees of the broker over TLS: one `ok NAME` or `not ok NAME: why` for each test.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(expected, found any) {
	if expected != found {
		panic(fmt.Sprintf("%v instead of %v", found, expected))
	}
}

func file(name string) string {
	return filepath.Join(os.Getenv("INTEROP_CERTIFICATES"), name)
}

// trusting is a client that trusts one authority, and speaks one version if that is not 0.
func trusting(authority string, version uint16) *tls.Config {
	pem, err := os.ReadFile(file(authority + ".pem"))
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, MinVersion: version, MaxVersion: version}
}

func showing(config *tls.Config, certificate string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(file(certificate+".pem"), file(certificate+".key"))
	must(err)
	// Shown whatever authorities the broker names.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config
}

func dial(host string, config *tls.Config, mechanisms ...amqp.Authentication) (*amqp.Connection, error) {
	url := fmt.Sprintf("amqps://guest:guest@%s:%s/", host, os.Getenv("INTEROP_TLS_PORT"))
	return amqp.DialConfig(url, amqp.Config{TLSClientConfig: config, SASL: mechanisms})
}

// speak sends a message of two megabytes to itself.
func speak(connection *amqp.Connection, publishing amqp.Publishing) error {
	channel, err := connection.Channel()
	must(err)
	must(channel.Confirm(false))
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 1))
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	must(err)
	publishing.Body = bytes.Repeat([]byte("tls "), 1<<19)
	must(channel.Publish("", queue.Name, false, false, publishing))
	select {
	case confirm := <-confirms:
		if !confirm.Ack {
			return errors.New("not confirmed")
		}
	case err := <-closed:
		return err
	}
	delivery, found, err := channel.Get(queue.Name, true)
	must(err)
	same(true, found)
	same(true, bytes.Equal(publishing.Body, delivery.Body))
	return nil
}

func refused(err error, words ...string) {
	if err == nil {
		panic("it was let in")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			panic(fmt.Sprintf("%q does not say %q", err, word))
		}
	}
}

var failed = false

func test(name string, run func()) {
	defer func() {
		if why := recover(); why != nil {
			failed = true
			fmt.Printf("not ok %s: %v\n", name, why)
			return
		}
		fmt.Printf("ok %s\n", name)
	}()
	run()
}

func main() {
	for name, version := range map[string]uint16{"go speaks TLS 1.2": tls.VersionTLS12, "go speaks TLS 1.3": tls.VersionTLS13} {
		version := version
		test(name, func() {
			for _, host := range []string{"127.0.0.1", "localhost"} {
				connection, err := dial(host, trusting("authority", version))
				must(err)
				same(version, connection.ConnectionState().Version)
				must(speak(connection, amqp.Publishing{}))
				must(connection.Close())
			}
		})
	}
	test("go and TLS 1.1 do not get in", func() {
		_, err := dial("127.0.0.1", trusting("authority", tls.VersionTLS11))
		refused(err, "remote error")
	})
	test("go does not trust a broker by another authority", func() {
		_, err := dial("127.0.0.1", trusting("stranger", 0))
		var unknown x509.UnknownAuthorityError
		if !errors.As(err, &unknown) {
			panic(fmt.Sprintf("%v instead of an unknown authority", err))
		}
	})
	test("go logs in by its certificate", func() {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			connection, err := dial("127.0.0.1", showing(trusting("authority", version), "client"), &amqp.ExternalAuth{})
			must(err)
			must(speak(connection, amqp.Publishing{UserId: "client"}))
			refused(speak(connection, amqp.Publishing{UserId: "guest"}), "406", "authenticated user was 'client'")
			must(connection.Close())
		}
	})
	test("go logs in by a password beside its certificate", func() {
		connection, err := dial("127.0.0.1", showing(trusting("authority", 0), "client"))
		must(err)
		must(speak(connection, amqp.Publishing{UserId: "guest"}))
		must(connection.Close())
	})
	test("go without a certificate does not log in by one", func() {
		_, err := dial("127.0.0.1", trusting("authority", 0), &amqp.ExternalAuth{})
		refused(err)
	})
	test("go does not get in by a stranger's certificate", func() {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			_, err := dial("127.0.0.1", showing(trusting("authority", version), "impostor"), &amqp.ExternalAuth{})
			refused(err)
		}
	})
	if failed {
		os.Exit(1)
	}
}
