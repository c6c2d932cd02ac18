# The broker in a container: one process, one volume, nobody's root. Built from a clone: docker build -t ledgermq .
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin ledgermq

FROM debian:bookworm-slim
RUN groupadd --system --gid 999 ledgermq \
    && useradd --system --uid 999 --gid ledgermq --home-dir /var/lib/ledgermq ledgermq \
    && install -d -o ledgermq -g ledgermq -m 0700 /var/lib/ledgermq
COPY --from=build /src/target/release/ledgermq /usr/bin/ledgermq
# Health checks and scripts written for RabbitMQ's image find its programs.
RUN for name in rabbitmqctl rabbitmq-diagnostics rabbitmq-queues rabbitmq-streams rabbitmq-upgrade rabbitmq-plugins rabbitmq-server; do \
        ln -s ledgermq "/usr/bin/$name"; done
ENV LEDGERMQ_DATA_DIR=/var/lib/ledgermq \
    LEDGERMQ_LISTEN=[::]:5672 \
    LEDGERMQ_HTTP_LISTEN=[::]:15672 \
    LEDGERMQ_PROMETHEUS_LISTEN=[::]:15692
# A number: Kubernetes does not know whether a name is root's.
USER 999:999
VOLUME /var/lib/ledgermq
EXPOSE 5672 15672 15692
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m CMD ["rabbitmq-diagnostics", "-q", "check_running"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["ledgermq"]
CMD ["serve"]
