<?php
// Passes COUNT messages of the queue s17.there on to s17.back, as they are.

require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

$url = parse_url(getenv('AMQP_URL'));
$vhost = rawurldecode(substr($url['path'], 1));
$connection = new AMQPStreamConnection($url['host'], $url['port'], $url['user'], $url['pass'], $vhost);
$channel = $connection->channel();
$left = (int) getenv('COUNT');
$channel->basic_consume('s17.there', callback: function (AMQPMessage $message) use (&$left, $channel): void {
    $channel->basic_publish(new AMQPMessage($message->getBody(), $message->get_properties()), '', 's17.back');
    $message->ack();
    if (--$left === 0) {
        $channel->basic_cancel($message->getConsumerTag());
    }
});
while ($channel->is_consuming()) {
    $channel->wait();
}
$channel->close();
$connection->close();
