# maritcp in a container: docker build -t maritcp . && docker run -p 8082:8082 --ulimit nofile=1048576 maritcp
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc make pkg-config libevent-dev libhiredis-dev libnats-dev liburing-dev libssl-dev
COPY . /src
RUN make -C /src -j"$(nproc)" all

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libevent-core-2.1-7 libhiredis0.14 libnats3.4 liburing2 libssl3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/maritcp /usr/sbin/
USER nobody
EXPOSE 8082
STOPSIGNAL SIGTERM
# One worker for each core of its quota. As process 1 it hears TERM, and buries what it does not know; -S starts it again.
ENTRYPOINT ["/usr/sbin/maritcp", "-S", "-o", "admin.listen=unix:/tmp/ctl.sock"]
