# A Go service: make gen && docker build -f deploy/docker/go.Dockerfile --build-arg SERVICE=echo -t uait/echo-go .
FROM golang:1.26-bookworm AS build
WORKDIR /src/go
COPY go/go.mod go/go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY go ./
ARG SERVICE
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/service "./services/${SERVICE}"

FROM debian:bookworm-slim
COPY --from=build /out/service /usr/local/bin/service
COPY deploy/docker/healthy /usr/local/bin/healthy
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["healthy"]
ENTRYPOINT ["service"]
