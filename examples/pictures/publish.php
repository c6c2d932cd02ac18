<?php
// Tell everybody that a picture was uploaded: publish.php IMAGE_ID USER_ID PATH; or stop a worker: publish.php quit.

require __DIR__ . '/amqp.php';

use PhpAmqpLib\Message\AMQPMessage;

[, $image, $user, $path] = $argv + [null, null, null, null];
$body = $image === 'quit' ? $image : json_encode(['image_id' => $image, 'user_id' => $user, 'image_path' => $path]);

$connection = connect();
$channel = $connection->channel();
$channel->exchange_declare(EXCHANGE, 'fanout', passive: false, durable: true, auto_delete: false);
$properties = ['content_type' => 'application/json', 'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT];
$channel->confirm_select();
$channel->basic_publish(new AMQPMessage($body, $properties), EXCHANGE);
$channel->wait_for_pending_acks(); // from here on the picture is safe on the broker's disk
$channel->close();
$connection->close();
