# A Rust service: docker build -f deploy/docker/rust.Dockerfile --build-arg SERVICE=echo -t uait/echo-rust .
FROM rust:1.95-bookworm AS build
# ml-inference compiles llama.cpp.
RUN apt-get update && apt-get install -y --no-install-recommends cmake libclang-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY proto proto
COPY rust rust
ARG SERVICE
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    cd rust && cargo install --locked --path "services/${SERVICE}" --target-dir /target --root /out && \
    mv /out/bin/* /out/service

FROM debian:bookworm-slim
# ml-inference computes with OpenMP.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/service /usr/local/bin/service
COPY deploy/docker/healthy /usr/local/bin/healthy
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["healthy"]
ENTRYPOINT ["service"]
