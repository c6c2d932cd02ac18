<?php
// What the publisher and the workers share: the connection, and the loop of a worker.

require_once 'PhpAmqpLib/autoload.php'; // Debian's php-amqplib; with Composer: vendor/autoload.php

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

const EXCHANGE = 'upload-pictures';

function connect(): AMQPStreamConnection
{
    $url = parse_url(getenv('AMQP_URL') ?: 'amqp://guest:guest@localhost:5672/%2f');
    $vhost = rawurldecode(substr($url['path'], 1));
    return new AMQPStreamConnection($url['host'], $url['port'] ?? 5672, $url['user'], $url['pass'], $vhost);
}

/** Hands each uploaded picture to $work, until a message says "quit". */
function work(string $queue, callable $work): void
{
    $connection = connect();
    $channel = $connection->channel();
    $channel->exchange_declare(EXCHANGE, 'fanout', passive: false, durable: true, auto_delete: false);
    // Durable and not auto-delete: pictures wait here while no worker runs, and survive the broker.
    $channel->queue_declare($queue, passive: false, durable: true, exclusive: false, auto_delete: false);
    $channel->queue_bind($queue, EXCHANGE);

    $callback = function (AMQPMessage $message) use ($work): void {
        if ($message->getBody() === 'quit') {
            $message->getChannel()->basic_cancel($message->getConsumerTag());
        } else {
            $work(json_decode($message->getBody()));
        }
        $message->ack();
    };
    $channel->basic_consume($queue, callback: $callback);
    echo "waiting for pictures\n";
    while ($channel->is_consuming()) {
        $channel->wait();
    }

    $channel->close();
    $connection->close();
    echo "quit\n";
}
