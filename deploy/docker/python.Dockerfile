# A Python service: make gen && docker build -f deploy/docker/python.Dockerfile --build-arg SERVICE=echo -t uait/echo-python .
FROM python:3.11-slim-bookworm AS build
COPY deploy/local/uv.txt /tmp/uv.txt
RUN pip install --no-cache-dir --require-hashes -r /tmp/uv.txt
WORKDIR /srv
COPY python python
ENV UV_PROJECT_ENVIRONMENT=/srv/venv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
RUN --mount=type=cache,target=/root/.cache/uv uv sync --project python --frozen --no-default-groups --compile-bytecode

FROM python:3.11-slim-bookworm
ARG SERVICE
ENV SERVICE=${SERVICE} PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/python
COPY --from=build /srv /srv
COPY deploy/docker/healthy /usr/local/bin/healthy
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["healthy"]
# A module's name has _ where a service's has -.
ENTRYPOINT ["sh", "-c", "exec /srv/venv/bin/python -m services.$(echo \"$SERVICE\" | tr - _)"]
