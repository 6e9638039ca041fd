import { describe, expect, it } from "vitest";
import { renamed } from "./rename.js";

const watch = (language: "typescript" | "go" | "rust" | "python") => ({ name: "price-watch", language, port: 8040 });

describe("renamed", () => {
  it.each([
    ["package uait.echo.v1;", "package uait.price_watch.v1;"],
    ["service EchoService {", "service PriceWatchService {"],
    ['post: "/api/v1/echo:relay"', 'post: "/api/v1/price-watch:relay"'],
    ["rpc Echo(EchoRequest) returns (EchoResponse) {", "rpc Echo(EchoRequest) returns (EchoResponse) {"],
  ])("contract_%s", (before, after) => {
    expect(renamed(before, watch("go"))).toBe(after);
  });

  it.each([
    ['echov1 "uait.dev/go/gen/uait/echo/v1"', 'pricewatchv1 "uait.dev/go/gen/uait/price_watch/v1"'],
    ["echov1.UnsafeEchoServiceServer", "pricewatchv1.UnsafePriceWatchServiceServer"],
    ['const name, port = "echo-go", 8002', 'const name, port = "price-watch", 8040'],
    ["type echoHandler struct", "type priceWatchHandler struct"],
    ['route []string{"echo-rust"}', 'route []string{"echo-rust"}'],
  ])("go_%s", (before, after) => {
    expect(renamed(before, watch("go"))).toBe(after);
  });

  it.each([
    [
      "import { X } from '@uait/gen/uait/echo/v1/echo.js'",
      "import { X } from '@uait/gen/uait/price_watch/v1/price_watch.js'",
    ],
    ["'@uait/gen/es/uait/echo/v1/echo_pb.js'", "'@uait/gen/es/uait/price_watch/v1/price_watch_pb.js'"],
    ['"name": "@uait/echo"', '"name": "@uait/price-watch"'],
    ["{ service: 'echo-ts', port: 8001 }", "{ service: 'price-watch', port: 8040 }"],
  ])("typescript_%s", (before, after) => {
    expect(renamed(before, watch("typescript"))).toBe(after);
  });

  it.each([
    [
      "use uait_gen::echo::v1::echo_service_server::EchoService;",
      "use uait_gen::price_watch::v1::price_watch_service_server::PriceWatchService;",
    ],
    ['name = "uait-echo"', 'name = "uait-price-watch"'],
    ['name = "echo"', 'name = "price-watch"'],
  ])("rust_%s", (before, after) => {
    expect(renamed(before, watch("rust"))).toBe(after);
  });

  it.each([
    [
      "from uait.echo.v1 import echo_pb2, echo_pb2_grpc",
      "from uait.price_watch.v1 import price_watch_pb2, price_watch_pb2_grpc",
    ],
    ["from services.echo.error import EchoError", "from services.price_watch.error import PriceWatchError"],
    ["python/services/echo", "python/services/price_watch"],
  ])("python_%s", (before, after) => {
    expect(renamed(before, watch("python"))).toBe(after);
  });
});
