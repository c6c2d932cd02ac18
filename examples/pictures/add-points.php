<?php
// Rewards the user who uploaded.

require __DIR__ . '/amqp.php';

work('add-points', function (object $picture): void {
    echo "points for {$picture->user_id}\n";
});
