<?php
// Makes thumbnails. Resizing is slow: start as many of these as the uploads need.

require __DIR__ . '/amqp.php';

work('resize-picture', function (object $picture): void {
    echo "resized {$picture->image_path}\n";
});
