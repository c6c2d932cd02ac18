// RabbitMQ's six tutorials in Go: a word, work for several, a broadcast, routing, topics, and calls.
package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(expected, found any) {
	if !reflect.DeepEqual(expected, found) {
		panic(fmt.Sprintf("%v instead of %v", found, expected))
	}
}

func connect() *amqp.Connection {
	connection, err := amqp.Dial(os.Getenv("INTEROP_URL"))
	must(err)
	return connection
}

func open(connection *amqp.Connection) *amqp.Channel {
	channel, err := connection.Channel()
	must(err)
	return channel
}

func named(name string) string {
	return fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
}

func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	must(channel.Publish(exchange, key, false, false, message))
}

func text(body string) amqp.Publishing {
	return amqp.Publishing{ContentType: "text/plain", Body: []byte(body)}
}

// take returns the next bodies of a queue, acknowledged.
func take(channel *amqp.Channel, queue string, count int) (bodies []string) {
	tag := named("take")
	deliveries, err := channel.Consume(queue, tag, false, false, false, false, nil)
	must(err)
	for delivery := range deliveries {
		must(delivery.Ack(false))
		bodies = append(bodies, string(delivery.Body))
		if len(bodies) == count {
			break
		}
	}
	must(channel.Cancel(tag, false))
	// What came too early goes back.
	for delivery := range deliveries {
		must(delivery.Nack(false, true))
	}
	return bodies
}

func empty(channel *amqp.Channel, queue string) {
	_, found, err := channel.Get(queue, true)
	must(err)
	same(false, found)
}

// listener makes a queue of its own, bound with these keys.
func listener(channel *amqp.Channel, exchange string, keys ...string) string {
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	must(err)
	for _, key := range keys {
		must(channel.QueueBind(queue.Name, key, exchange, false, nil))
	}
	return queue.Name
}

func hello() {
	queue := named("hello")
	sender, receiver := connect(), connect()
	defer receiver.Close()
	channel := open(sender)
	_, err := channel.QueueDeclare(queue, false, false, false, false, nil)
	must(err)
	publish(channel, "", queue, text("Hello World!"))
	must(sender.Close())
	channel = open(receiver)
	same([]string{"Hello World!"}, take(channel, queue, 1))
	_, err = channel.QueueDelete(queue, false, false, false)
	must(err)
}

// A slow worker with one task at a time leaves the others to a quick one; the task of one that dies is done by the other.
func workQueues() {
	queue := named("task_queue")
	boss, slow, quick := connect(), connect(), connect()
	defer boss.Close()
	defer quick.Close()
	channel, slowly, quickly := open(boss), open(slow), open(quick)
	_, err := channel.QueueDeclare(queue, true, false, false, false, nil)
	must(err)
	must(slowly.Qos(1, 0, false))
	must(quickly.Qos(1, 0, false))
	held, err := slowly.Consume(queue, "", false, false, false, false, nil)
	must(err)
	task := func(number int) amqp.Publishing {
		return amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("task " + strconv.Itoa(number))}
	}
	publish(channel, "", queue, task(0))
	same("task 0", string((<-held).Body))
	for number := 1; number < 6; number++ {
		publish(channel, "", queue, task(number))
	}
	same([]string{"task 1", "task 2", "task 3", "task 4", "task 5"}, take(quickly, queue, 5))
	must(slow.Close())
	same([]string{"task 0"}, take(quickly, queue, 1))
	_, err = channel.QueueDelete(queue, false, false, false)
	must(err)
}

func publishSubscribe() {
	connection := connect()
	defer connection.Close()
	channel, logs := open(connection), named("logs")
	must(channel.ExchangeDeclare(logs, "fanout", false, true, false, false, nil))
	publish(channel, logs, "", text("before anybody listens"))
	screens := []string{listener(channel, logs, ""), listener(channel, logs, ""), listener(channel, logs, "")}
	publish(channel, logs, "ignored", text("info: Hello World!"))
	for _, screen := range screens {
		same([]string{"info: Hello World!"}, take(channel, screen, 1))
	}
}

func routing() {
	connection := connect()
	defer connection.Close()
	channel, logs := open(connection), named("direct_logs")
	must(channel.ExchangeDeclare(logs, "direct", false, true, false, false, nil))
	disk, screen := listener(channel, logs, "error"), listener(channel, logs, "info", "warning", "error")
	for _, severity := range []string{"info", "debug", "error", "warning"} {
		publish(channel, logs, severity, text(severity))
	}
	same([]string{"info", "error", "warning"}, take(channel, screen, 3))
	same([]string{"error"}, take(channel, disk, 1))
	empty(channel, disk)
	empty(channel, screen)
}

func topics() {
	connection := connect()
	defer connection.Close()
	channel, logs := open(connection), named("topic_logs")
	must(channel.ExchangeDeclare(logs, "topic", false, true, false, false, nil))
	keys := []string{"kern.critical", "kern", "auth.info.user", "cron.critical"}
	expected := map[string][]string{
		"#": keys, "kern.*": {"kern.critical"}, "*.critical": {"kern.critical", "cron.critical"}, "auth.#": {"auth.info.user"},
	}
	queues := map[string]string{}
	for pattern := range expected {
		queues[pattern] = listener(channel, logs, pattern)
	}
	for _, key := range keys {
		publish(channel, logs, key, text(key))
	}
	for pattern, keys := range expected {
		same(keys, take(channel, queues[pattern], len(keys)))
		empty(channel, queues[pattern])
	}
}

func rpc() {
	serving, calling := connect(), connect()
	defer serving.Close()
	defer calling.Close()
	server, queue := open(serving), named("rpc_queue")
	_, err := server.QueueDeclare(queue, false, true, false, false, nil)
	must(err)
	must(server.Qos(1, 0, false))
	calls, err := server.Consume(queue, "", false, false, false, false, nil)
	must(err)
	go func() {
		for call := range calls {
			number, err := strconv.Atoi(string(call.Body))
			must(err)
			publish(server, "", call.ReplyTo, amqp.Publishing{CorrelationId: call.CorrelationId, Body: []byte(strconv.Itoa(fibonacci(number)))})
			must(call.Ack(false))
		}
	}()
	client := open(calling)
	replies, err := client.QueueDeclare("", false, false, true, false, nil)
	must(err)
	answers, err := client.Consume(replies.Name, "", true, false, false, false, nil)
	must(err)
	expected, found := map[string]string{}, map[string]string{}
	for number := 10; number < 18; number++ {
		call := named("call")
		expected[call] = strconv.Itoa(fibonacci(number))
		publish(client, "", queue, amqp.Publishing{ReplyTo: replies.Name, CorrelationId: call, Body: []byte(strconv.Itoa(number))})
	}
	for len(found) < len(expected) {
		answer := <-answers
		found[answer.CorrelationId] = string(answer.Body)
	}
	same(expected, found)
}

func fibonacci(number int) int {
	if number < 2 {
		return number
	}
	return fibonacci(number-1) + fibonacci(number-2)
}

func run(name string, tutorial func()) (passed bool) {
	defer func() {
		if err := recover(); err != nil {
			fmt.Printf("not ok Go, %s: %v\n", name, err)
		}
	}()
	tutorial()
	fmt.Println("ok Go,", name)
	return true
}

func main() {
	passed := true
	for _, tutorial := range []struct {
		name string
		run  func()
	}{{"hello", hello}, {"work queues", workQueues}, {"publish subscribe", publishSubscribe}, {"routing", routing}, {"topics", topics}, {"rpc", rpc}} {
		passed = run(tutorial.name, tutorial.run) && passed
	}
	if !passed {
		os.Exit(1)
	}
}
