# What bunny sees of the broker: one `ok NAME` or `not ok NAME: why` for each test.
require "bunny"
require "securerandom"
require "timeout"

PATIENCE_S = 30
RESTART = ENV["INTEROP_RESTART"]
@failed = false

def connected(**options)
  Bunny.new(ENV.fetch("INTEROP_URL"), log_level: Logger::FATAL, **options).tap(&:start)
end

def restart(*arguments)
  system([RESTART, *arguments].join(" "), exception: true)
end

def name(of) = "#{of}-#{SecureRandom.hex(4)}"

def same(expected, found)
  raise "#{found.inspect} instead of #{expected.inspect}" unless expected == found
end

def raised(error)
  yield
rescue error => e
  e
else
  raise "no #{error} was raised"
end

def test(name, needs_restart: false)
  return puts("skip #{name}: a given broker is not restarted") if needs_restart && !RESTART
  Timeout.timeout(PATIENCE_S) { yield }
  puts "ok #{name}"
rescue StandardError, Timeout::Error => e
  @failed = true
  puts "not ok #{name}: #{e.class} #{e.message.tr("\n", " ")}", e.backtrace.first(5)
end

test "an error closes its channel and nothing else" do
  connection = connected
  other = connection.create_channel
  queue = other.queue("", exclusive: true)
  10.times do
    channel = connection.create_channel
    error = raised(Bunny::NotFound) { channel.queue(name("missing"), passive: true) }
    same true, error.message.start_with?("NOT_FOUND - no queue 'missing-")
    same true, channel.closed?
  end
  queue.publish("m")
  same "m", queue.pop[2]
  connection.close
end

test "redeclaring otherwise is refused" do
  connection = connected
  queue = name("q")
  connection.create_channel.queue(queue, durable: true)
  error = raised(Bunny::PreconditionFailed) { connection.create_channel.queue(queue, durable: false) }
  same "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '#{queue}' in vhost '/': received 'false' but current is 'true'", error.message
  connection.create_channel.queue_delete(queue)
  connection.close
end

test "another connection's exclusive queue is locked" do
  connection, other = connected, connected
  queue = connection.create_channel.queue(name("q"), exclusive: true)
  error = raised(Bunny::ResourceLocked) { other.create_channel.queue(queue.name, exclusive: true) }
  same true, error.message.start_with?("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '#{queue.name}' in vhost '/'.")
  connection.close
  # The name is free as soon as the owner's close was answered.
  other.create_channel.queue(queue.name, exclusive: true)
  other.close
end

test "confirms and returns" do
  connection = connected
  channel = connection.create_channel
  channel.confirm_select
  queue = channel.queue(name("confirmed"), durable: true)
  returned = Queue.new
  exchange = channel.direct("amq.direct")
  exchange.on_return { |info, _, body| returned << [info.reply_code, info.reply_text, body] }
  200.times { |n| queue.publish(n.to_s, persistent: true) }
  exchange.publish("lost", routing_key: name("nowhere"), mandatory: true)
  same true, channel.wait_for_confirms
  same [312, "NO_ROUTE", "lost"], returned.pop
  same 200, queue.message_count
  same Set.new, channel.unconfirmed_set
  queue.delete
  connection.close
end

test "a consumer hears that its queue is gone" do
  connection = connected
  channel = connection.create_channel
  queue = channel.queue(name("cancelled"), durable: true)
  told = Queue.new
  consumer = Bunny::Consumer.new(channel, queue)
  consumer.on_cancellation { |cancel| told << cancel.consumer_tag }
  queue.subscribe_with(consumer)
  connection.create_channel.queue_delete(queue.name)
  same consumer.consumer_tag, told.pop
  same 0, channel.queue("", exclusive: true).message_count
  connection.close
end

test "a subscription may be ended and what it held comes back" do
  connection = connected
  channel = connection.create_channel
  channel.prefetch(3)
  queue = channel.queue("", exclusive: true)
  5.times { |n| queue.publish(n.to_s) }
  seen = Queue.new
  consumer = queue.subscribe(manual_ack: true) { |info, _, body| seen << [info.delivery_tag, body] }
  tags = 3.times.map { seen.pop }
  same %w[0 1 2], tags.map(&:last)
  same 2, queue.message_count
  channel.ack(tags[0][0])
  same "3", seen.pop[1]
  consumer.cancel
  channel.close
  other = connection.create_channel
  left = 4.times.map { other.basic_get(queue.name, manual_ack: false) }
  same [["1", true], ["2", true], ["3", true], ["4", false]], left.map { |info, _, body| [body, info.redelivered] }
  connection.close
end

test "bodies of every length around a frame" do
  [4096, 131_072].each do |frame_max|
    connection = connected(frame_max: frame_max)
    channel = connection.create_channel
    queue = channel.queue("", exclusive: true)
    payload = frame_max - 8
    [0, 1, payload - 1, payload, payload + 1, 2 * payload, 2 * payload + 1, 20 * payload + 7].each do |length|
      body = ("0123456789a" * (length / 11 + 1))[0, length]
      queue.publish(body)
      same true, queue.pop[2] == body
    end
    connection.close
  end
end

test "a message of twelve mebibytes" do
  connection = connected
  queue = connection.create_channel.queue("", exclusive: true)
  body = "x" * (12 << 20)
  queue.publish(body)
  same true, queue.pop[2] == body
  connection.close
end

test "headers of every type and all properties" do
  connection = connected
  queue = connection.create_channel.queue("", exclusive: true)
  headers = { "true" => true, "int" => -7, "large" => 2**40, "double" => 1.5, "text" => "words", "list" => [1, "two", { "three" => nil }], "table" => { "k" => { "d" => false } } }
  properties = { content_type: "text/plain", content_encoding: "utf-8", delivery_mode: 2, priority: 4, correlation_id: "c", reply_to: "r", expiration: "60000",
                 message_id: "m", timestamp: 1_700_000_000, type: "t", user_id: "guest", app_id: "a" }
  queue.publish("", **properties, headers: headers)
  _, found, = queue.pop
  same headers, found.headers
  same Time.at(1_700_000_000), found.timestamp
  properties.except(:timestamp).each { |property, value| same value, found[property] }
  connection.close
end

test "an idle connection lives by heartbeats" do
  connection = connected(heartbeat: 1)
  beats = Queue.new
  # Each heartbeat frame of the broker comes by here.
  transport = connection.transport
  transport.singleton_class.prepend(Module.new do
    define_method(:read_next_frame) { |*options| super(*options).tap { |frame| beats << frame if frame.is_a?(AMQ::Protocol::HeartbeatFrame) } }
  end)
  4.times { beats.pop }
  same true, connection.open?
  connection.create_channel.queue("", exclusive: true)
  connection.close
end

test "a wrong password and a missing vhost are refused" do
  raised(Bunny::AuthenticationFailureError) { connected(password: "wrong", username: "guest", user: "guest", pass: "wrong") }
  raised(Bunny::NotAllowedError) { Bunny.new(ENV.fetch("INTEROP_URL").sub("%2f", "nowhere"), log_level: Logger::FATAL).start }
end

test "a publisher is told that the disk is low", needs_restart: true do
  restart("--disk-low-bytes", "1024GiB")
  begin
    connection = connected
    told = Queue.new
    connection.on_blocked { |blocked| told << blocked.reason }
    connection.create_channel.default_exchange.publish("m", routing_key: "nowhere")
    same "low on disk", told.pop
    same true, connection.blocked?
    # Its close would not be read before there is space again.
    connection.transport.close
  ensure
    restart
  end
end

test "after a restart the client makes its queues, bindings and consumers again", needs_restart: true do
  connection = connected(network_recovery_interval: 0.2)
  channel = connection.create_channel
  exchange = channel.topic(name("recovered"), auto_delete: true)
  exclusive = channel.queue("", exclusive: true)
  exclusive.bind(exchange, routing_key: "a.*")
  durable = channel.queue(name("recovered"), durable: true).bind(exchange, routing_key: "#")
  seen = Queue.new
  exclusive.subscribe { |_, _, body| seen << body }
  exchange.publish("before", routing_key: "a.b")
  same "before", seen.pop
  [[], ["kill"]].each do |how|
    recovered = Queue.new
    connection.define_singleton_method(:recover_channels) { super().tap { recovered << true } }
    restart(*how)
    recovered.pop
    # Topology is made again by the time the recovery of channels has ended.
    exchange.publish("after", routing_key: "a.c")
    same "after", seen.pop
  end
  same true, durable.message_count >= 2
  durable.delete
  connection.close
end

exit(@failed ? 1 : 0)
