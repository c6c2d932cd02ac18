#!/bin/sh
# What rabbitmq-c sees of the broker, by its command-line tools: one `ok NAME` or `not ok NAME: why` for each test.
set -u
failed=0
queue=tools-$$
at="--url=$INTEROP_URL"

# check NAME EXPECTED COMMAND…: the command's output, with a mark at its end where it failed.
check() {
    name=$1 expected=$2
    shift 2
    found=$("$@" 2>&1) || found="$found (failed)"
    case $found in
        $expected) echo "ok $name" ;;
        *) failed=1; echo "not ok $name: '$found' instead of '$expected'" ;;
    esac
}

first_of_consumer() { amqp-consume "$at" -q "$queue" -c 1 cat; }
two_of_consumer() { amqp-consume "$at" -q "$queue" -c 2 -p 1 cat; }
by_exchange() { amqp-consume "$at" -e amq.topic -r "$queue.#" -c 1 cat & sleeper=$!; until amqp-publish "$at" -e amq.topic -r "$queue.a" -b routed && ! kill -0 $sleeper 2>/dev/null; do sleep 0.1; done; wait $sleeper; }
round_trip() { amqp-publish "$at" -r "$queue" < "$1" && amqp-get "$at" -q "$queue" | cmp - "$1"; }
big=$(mktemp)
trap 'rm -f "$big"' EXIT

check "declare a queue" "$queue" amqp-declare-queue "$at" -q "$queue" -d
check "declare it again" "$queue" amqp-declare-queue "$at" -q "$queue" -d
check "declare it otherwise" "*406*inequivalent arg 'durable' for queue '$queue' in vhost '/': received 'false' but current is 'true'*(failed)" amqp-declare-queue "$at" -q "$queue"
check "a name of the broker's choice" "amq.gen-*" amqp-declare-queue "$at" -q ""
check "publish" "" amqp-publish "$at" -r "$queue" -p -C text/plain -b hello
check "get" "hello" amqp-get "$at" -q "$queue"
check "get from an empty queue" "(failed)" sh -c 'amqp-get "$1" -q "$2" || printf "(failed)"' - "$at" "$queue"
check "get from a missing queue" "*404*NOT_FOUND - no queue 'missing' in vhost '/'*(failed)" amqp-get "$at" -q missing
amqp-publish "$at" -r "$queue" -b first
check "consume one" "first" first_of_consumer
amqp-publish "$at" -r "$queue" -b second
amqp-publish "$at" -r "$queue" -b third
check "consume two, one at a time" "secondthird" two_of_consumer
check "consume from an exchange" "*routed" by_exchange
head -c 0 /dev/null > "$big"
check "an empty message" "" round_trip "$big"
head -c 5000000 /dev/urandom > "$big"
check "a message of five megabytes" "" round_trip "$big"
check "a wrong password" "*403*ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN*(failed)" amqp-get "$(echo "$at" | sed 's/guest:guest/guest:wrong/')" -q "$queue"
check "delete the queue" "0" amqp-delete-queue "$at" -q "$queue"
check "delete it again" "0" amqp-delete-queue "$at" -q "$queue"
exit $failed
