<?php
// Tells the friends of the user who uploaded.

require __DIR__ . '/amqp.php';

work('notify-friends', function (object $picture): void {
    echo "told the friends of {$picture->user_id}\n";
});
