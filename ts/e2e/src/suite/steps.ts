import { homedir } from "node:os";
import { join } from "node:path";
import * as count from "./count.js";
import type { Step } from "./schedule.js";

/** Where build caches live: outside the checkout, so that a second clone builds in minutes. */
const CACHE = process.env["UAIT_CACHE"] ?? join(homedir(), ".cache", "uait");
const CARGO = "../deploy/local/cargo";
const PYTHON = "../.uait/venv/bin/python";
const VITEST = "NO_COLOR=1 npx vitest run --reporter=default";

/**
 * Every check. What is slow begins first, and short ones fill the end; what watches how long things take runs alone, after all others.
 * `make test` has installed the tools and made the stubs before.
 */
export const steps: readonly Step[] = [
  { name: "services", run: "make build" },
  { name: "rust lint", run: `cd rust && cargo fmt --check && ${CARGO} clippy --locked --all-targets -- -D warnings` },
  { name: "go test", run: "cd go && go test -trimpath -race -count=1 -v ./...", count: count.go },
  {
    name: "rust test",
    run: `cd rust && ${CARGO} test --locked --no-fail-fast`,
    count: count.cargo,
    after: ["rust lint"],
  },
  {
    name: "test programs",
    run: [
      "(cd go && go build -trimpath -o ../.uait/build/conformance-go ./conformance)",
      `(cd rust && ${CARGO} build --locked -p uait-conformance)`,
      `install -D "${CACHE}/cargo/debug/conformance" .uait/build/conformance-rust`,
      "(cd ts && npx tsc -b)",
    ].join(" && "),
    after: ["services"],
  },
  {
    name: "bad days",
    run: `cd ts && ${VITEST} --project bad-days`,
    count: count.vitest,
    after: ["test programs"],
  },
  { name: "ts test", run: `cd ts && ${VITEST} --project unit`, count: count.vitest, after: ["test programs"] },
  { name: "python test", run: `cd python && ${PYTHON} -m pytest --ignore=tests/contracts`, count: count.pytest },
  { name: "edge", run: `cd ts && ${VITEST} --project edge`, count: count.vitest, after: ["test programs"] },
  { name: "contracts", run: `cd python && ${PYTHON} -m pytest tests/contracts`, count: count.pytest },
  {
    name: "go lint",
    run: "cd go && test -z \"$(gofmt -l $(git ls-files '*.go'))\" && go vet ./... && go tool staticcheck ./...",
  },
  {
    name: "python lint",
    run: "cd python && ../.uait/venv/bin/ruff check . && ../.uait/venv/bin/ruff format --check . && ../.uait/venv/bin/mypy",
  },
  { name: "ts lint", run: "cd ts && NO_COLOR=1 npx biome ci --error-on-warnings ." },
  { name: "made files", run: "make check" },
  {
    name: "conformance",
    run: "cd ts && node --import tsx --conditions=uait-source e2e/src/conformance/main.ts",
    count: count.conformance,
    show: true,
    after: ["test programs"],
    alone: true,
  },
  {
    name: "mesh",
    run: `cd ts && ${VITEST} --project mesh`,
    count: count.vitest,
    after: ["test programs"],
    alone: true,
  },
  {
    name: "bench programs",
    run: [
      "(cd go && go build -trimpath -o ../.uait/build/bare-go ./bench/bare)",
      `(cd rust && ${CARGO} build --release --locked -p uait-bare)`,
      `install -D "${CACHE}/cargo/release/bare" .uait/build/bare-rust`,
      "(cd ts && npx tsc -b)",
    ].join(" && "),
    onlyByName: true,
  },
  {
    // llama.cpp's own calls in the service's build, and its own server as a wheel, in an environment of its own.
    name: "bench inference programs",
    run: [
      `(cd rust && ${CARGO} build --release --locked -p uait-ml-inference --example bare)`,
      `install -D "${CACHE}/cargo/release/examples/bare" .uait/build/bare-llama`,
      "python3 -m venv .uait/peers/inference",
      ".uait/peers/inference/bin/pip install --quiet --disable-pip-version-check xllamacpp==2026.10.11549",
    ].join(" && "),
    onlyByName: true,
  },
];
