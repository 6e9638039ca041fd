# A Rust service: docker build -f deploy/docker/rust.Dockerfile --build-arg SERVICE=echo -t uait/echo-rust .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY proto proto
COPY rust rust
ARG SERVICE
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    cargo install --locked --path "rust/services/${SERVICE}" --target-dir /target --root /out && \
    mv /out/bin/* /out/service

FROM debian:bookworm-slim
COPY --from=build /out/service /usr/local/bin/service
COPY deploy/docker/healthy /usr/local/bin/healthy
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["healthy"]
ENTRYPOINT ["service"]
