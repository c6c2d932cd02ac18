<?php
// What php-amqplib sees of the broker: one `ok NAME` or `not ok NAME: why` for each test.

require 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPBasicCancelException;
use PhpAmqpLib\Exception\AMQPConnectionBlockedException;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPExceptionInterface;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

const PATIENCE_S = 20;

function connected(int $heartbeat = 0): AMQPStreamConnection
{
    return new AMQPStreamConnection(
        getenv('INTEROP_HOST'), (int) getenv('INTEROP_PORT'), 'guest', 'guest', '/', false, 'AMQPLAIN', null, 'en_US', 10.0, 130.0, null, false, $heartbeat
    );
}

function restart(string ...$arguments): void
{
    passthru(getenv('INTEROP_RESTART') . ' ' . implode(' ', $arguments), $status);
    same(0, $status);
}

function same($expected, $found): void
{
    if ($expected !== $found) {
        throw new LogicException(var_export($found, true) . ' instead of ' . var_export($expected, true));
    }
}

/** The exception of this class that `$what` raises. */
function raised(string $class, callable $what): Throwable
{
    try {
        $what();
    } catch (Throwable $error) {
        if ($error instanceof $class) {
            return $error;
        }
        throw $error;
    }
    throw new LogicException("no $class was raised");
}

function name(string $of): string
{
    return $of . '-' . bin2hex(random_bytes(4));
}

function passing($channel): string
{
    return $channel->queue_declare('', false, false, true)[0];
}

$tests = [
    'an error closes its channel and nothing else' => function () {
        $connection = connected();
        $other = $connection->channel();
        $queue = passing($other);
        for ($i = 0; $i < 10; $i++) {
            $channel = $connection->channel();
            $error = raised(AMQPProtocolChannelException::class, fn () => $channel->queue_declare(name('missing'), true));
            same(404, $error->amqp_reply_code);
            same(0, strpos($error->amqp_reply_text, "NOT_FOUND - no queue 'missing-"));
        }
        $other->basic_publish(new AMQPMessage('m'), '', $queue);
        same('m', $other->basic_get($queue, true)->body);
    },
    'a number is used again after an error' => function () {
        $connection = connected();
        for ($i = 0; $i < 3; $i++) {
            $channel = $connection->channel(3);
            $channel->basic_publish(new AMQPMessage('m'), name('missing'));
            raised(AMQPProtocolChannelException::class, fn () => $channel->queue_declare('', false, false, true));
        }
        same(0, strpos(passing($connection->channel(3)), 'amq.gen-'));
    },
    'redeclaring otherwise is refused' => function () {
        $channel = connected()->channel();
        $queue = name('q');
        $channel->queue_declare($queue, false, false, false, true);
        $error = raised(AMQPProtocolChannelException::class, fn () => $channel->queue_declare($queue, false, true, false, true));
        same(406, $error->amqp_reply_code);
        same("PRECONDITION_FAILED - inequivalent arg 'durable' for queue '$queue' in vhost '/': received 'true' but current is 'false'", $error->amqp_reply_text);
    },
    'confirms and returns' => function () {
        $channel = connected()->channel();
        $channel->confirm_select();
        $queue = passing($channel);
        $acked = $returned = [];
        $channel->set_ack_handler(function (AMQPMessage $message) use (&$acked) { $acked[] = $message->body; });
        $channel->set_return_listener(function ($code, $text, $exchange, $key, AMQPMessage $message) use (&$returned) {
            $returned[] = [$code, $text, $message->body];
        });
        for ($i = 0; $i < 100; $i++) {
            $channel->basic_publish(new AMQPMessage("$i"), '', $queue, true);
        }
        $channel->basic_publish(new AMQPMessage('lost'), '', name('nowhere'), true);
        $channel->wait_for_pending_acks_returns(PATIENCE_S);
        sort($acked);
        $expected = array_map('strval', range(0, 99));
        $expected[] = 'lost';
        sort($expected);
        same($expected, $acked);
        same([[312, 'NO_ROUTE', 'lost']], $returned);
    },
    'a batch is published as one' => function () {
        $channel = connected()->channel();
        $queue = passing($channel);
        for ($i = 0; $i < 50; $i++) {
            $channel->batch_basic_publish(new AMQPMessage("$i"), '', $queue);
        }
        $channel->publish_batch();
        same(50, $channel->queue_purge($queue));
    },
    'a consumer hears that its queue is gone' => function () {
        $connection = connected();
        $channel = $connection->channel();
        $queue = name('cancelled');
        $channel->queue_declare($queue, false, true, false, false);
        $channel->basic_consume($queue, 'tag', false, true, false, false, fn () => null);
        $connection->channel()->queue_delete($queue);
        raised(AMQPBasicCancelException::class, fn () => $channel->wait(null, false, PATIENCE_S));
    },
    'prefetch, acknowledging and putting back' => function () {
        $channel = connected()->channel();
        $channel->basic_qos(0, 2, false);
        $queue = passing($channel);
        for ($i = 0; $i < 4; $i++) {
            $channel->basic_publish(new AMQPMessage("$i"), '', $queue);
        }
        $seen = [];
        $channel->basic_consume($queue, '', false, false, false, false, function (AMQPMessage $message) use (&$seen) {
            $seen[] = $message->body . ($message->isRedelivered() ? ' again' : '');
            $message->body === '0' && !$message->isRedelivered() ? $message->nack(true) : $message->ack();
        });
        while (count($seen) < 5) {
            $channel->wait(null, false, PATIENCE_S);
        }
        sort($seen);
        same(['0', '0 again', '1', '2', '3'], $seen);
    },
    'headers of every type and all properties' => function () {
        $channel = connected()->channel();
        $queue = passing($channel);
        $headers = ['bool' => true, 'int' => -5, 'large' => 1 << 40, 'text' => 'grüße', 'list' => ['a', 1, ['deep' => null]], 'table' => ['k' => 'v']];
        $properties = [
            'content_type' => 'text/plain', 'content_encoding' => 'utf-8', 'delivery_mode' => 2, 'priority' => 3, 'correlation_id' => 'c', 'reply_to' => 'r',
            'expiration' => '60000', 'message_id' => 'm', 'timestamp' => 1700000000, 'type' => 't', 'user_id' => 'guest', 'app_id' => 'a',
        ];
        $channel->basic_publish(new AMQPMessage('', $properties + ['application_headers' => new AMQPTable($headers)]), '', $queue);
        $message = $channel->basic_get($queue, true);
        same($headers, $message->get('application_headers')->getNativeData());
        foreach ($properties as $property => $value) {
            same($value, $message->get($property));
        }
    },
    'bodies of every length around a frame, and of eight mebibytes' => function () {
        $channel = connected()->channel();
        $queue = passing($channel);
        $payload = 131072 - 8;
        foreach ([0, 1, $payload - 1, $payload, $payload + 1, 2 * $payload, 2 * $payload + 1, 8 << 20] as $length) {
            $body = substr(str_repeat('0123456789abc', intdiv($length, 13) + 1), 0, $length);
            $channel->basic_publish(new AMQPMessage($body), '', $queue);
            same(md5($body), md5($channel->basic_get($queue, true)->body));
        }
    },
    'a transaction is all or nothing' => function () {
        $channel = connected()->channel();
        $queue = passing($channel);
        $channel->tx_select();
        $channel->basic_publish(new AMQPMessage('taken back'), '', $queue);
        $channel->tx_rollback();
        $channel->basic_publish(new AMQPMessage('kept'), '', $queue);
        $channel->tx_commit();
        same('kept', $channel->basic_get($queue, true)->body);
        same(null, $channel->basic_get($queue, true));
    },
    'exchanges bound to exchanges' => function () {
        $channel = connected()->channel();
        [$from, $to] = [name('from'), name('to')];
        $channel->exchange_declare($from, 'topic', false, false, true);
        $channel->exchange_declare($to, 'fanout', false, false, true);
        $channel->exchange_bind($to, $from, '*.info');
        $queue = passing($channel);
        $channel->queue_bind($queue, $to);
        $channel->basic_publish(new AMQPMessage('no'), $from, 'a.warn');
        $channel->basic_publish(new AMQPMessage('yes'), $from, 'a.info');
        same('yes', $channel->basic_get($queue, true)->body);
        same(null, $channel->basic_get($queue, true));
        $channel->exchange_unbind($to, $from, '*.info');
        raised(AMQPProtocolChannelException::class, fn () => $channel->exchange_declare($from, 'topic', true));
    },
    'an idle connection lives by heartbeats' => function () {
        $connection = connected(2);
        $channel = $connection->channel();
        $queue = passing($channel);
        $last = $connection->getLastActivity();
        // The broker's heartbeats are read while the channel waits in vain, and answered by checkHeartBeat.
        for ($beats = 0; $beats < 4; $beats++) {
            try {
                $channel->wait(null, false, 1);
            } catch (PhpAmqpLib\Exception\AMQPTimeoutException $nothing) {
            }
            $connection->checkHeartBeat();
        }
        same(true, $connection->getLastActivity() > $last);
        same(0, $channel->queue_purge($queue));
    },
    'a publisher is told that the disk is low' => function () {
        restart('--disk-low-bytes', '1024GiB');
        try {
            $connection = connected();
            $told = [];
            $connection->set_connection_block_handler(function ($reason) use (&$told) { $told[] = $reason; });
            $channel = $connection->channel();
            $channel->basic_publish(new AMQPMessage('m'), '', 'nowhere');
            while (!$told) {
                $connection->wait(null, false, PATIENCE_S);
            }
            same(true, $connection->isBlocked());
            raised(AMQPConnectionBlockedException::class, fn () => $channel->basic_publish(new AMQPMessage('m'), '', 'nowhere'));
        } finally {
            restart();
        }
    },
    'after a restart the client connects again and finds what is durable' => function () {
        $connection = connected();
        $channel = $connection->channel();
        $queue = name('durable');
        $channel->queue_declare($queue, false, true, false, false);
        $channel->confirm_select();
        $channel->basic_publish(new AMQPMessage('kept', ['delivery_mode' => 2]), '', $queue);
        $channel->wait_for_pending_acks(PATIENCE_S);
        foreach (['', 'kill'] as $how) {
            restart($how);
            raised(AMQPExceptionInterface::class, function () use ($connection) {
                $connection->channel()->queue_declare('', false, false, true);
            });
            $connection->reconnect();
            $message = $connection->channel()->basic_get($queue);
            same('kept', $message->body);
            same($how === 'kill', $message->isRedelivered());
        }
        $connection->channel()->queue_delete($queue);
    },
    'a wrong password is refused in words' => function () {
        $error = raised(AMQPConnectionClosedException::class, fn () => new AMQPStreamConnection(getenv('INTEROP_HOST'), (int) getenv('INTEROP_PORT'), 'guest', 'wrong'));
        same(403, $error->getCode());
        same('ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile.(0, 0)', $error->getMessage());
    },
];

foreach ($tests as $name => $test) {
    if (!getenv('INTEROP_RESTART') && (strpos($name, 'restart') || strpos($name, 'disk'))) {
        echo "skip $name: a given broker is not restarted\n";
        continue;
    }
    try {
        $test();
        echo "ok $name\n";
    } catch (Throwable $error) {
        $failed = true;
        echo "not ok $name: ", get_class($error), ' ', str_replace("\n", ' ', $error->getMessage()), ' at line ', $error->getLine(), "\n", $error->getTraceAsString(), "\n";
    }
}
exit(isset($failed) ? 1 : 0);
