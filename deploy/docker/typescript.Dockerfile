# A TypeScript service: make gen && docker build -f deploy/docker/typescript.Dockerfile --build-arg SERVICE=echo -t uait/echo-ts .
FROM node:20-bookworm-slim AS build
WORKDIR /src/ts
COPY ts ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
ARG SERVICE
RUN node_modules/.bin/tsc -b "services/${SERVICE}" && npm prune --omit=dev --no-audit --no-fund && mv "services/${SERVICE}" services/service

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /srv/ts
COPY --from=build /src/ts ./
COPY deploy/docker/healthy /usr/local/bin/healthy
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["healthy"]
ENTRYPOINT ["node", "services/service/dist/main.js"]
