import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { loadCatalogue } from "./catalogue/load.js";
import { ROOT } from "./context.js";
import { Failure } from "./failure.js";
import { layout } from "./layout.js";
import { claims } from "./mesh/ports.js";

const catalogue = await loadCatalogue(`${ROOT}/deploy/mesh.yaml`);

describe("layout", () => {
  it("noBase_portsAreTheCatalogues", () => {
    const mesh = layout(catalogue, {}, "/checkout");
    expect(mesh.port("envoy", "edge")).toBe(10_000);
    expect(mesh.replicas.find(({ process }) => process === "echo-go")).toMatchObject({ port: 8002, httpPort: 18_002 });
    expect(mesh.paths.home).toBe("/checkout/.uait");
  });

  it("base_movesEveryPortAndKeepsThemApart", () => {
    const moved = claims(catalogue, layout(catalogue, { UAIT_PORT_BASE: "20000" }, "/checkout")).map(
      ({ port }) => port,
    );
    const original = claims(catalogue, layout(catalogue, {}, "/checkout")).map(({ port }) => port);
    expect(new Set(moved).size).toBe(moved.length);
    expect(Math.min(...moved)).toBe(20_000);
    expect(moved.filter((port) => original.includes(port))).toEqual([]);
  });

  it("models_ofTheUserAreFolderPathsBesideTheInstalledOnes", () => {
    const { moreModels } = layout(catalogue, { UAIT_MODELS: "/mine:relative/list.yaml:" }, "/checkout");
    expect(moreModels).toEqual(["/mine", resolve("relative/list.yaml")]);
  });

  it("home_movesTheMeshAndNotTheCheckoutsTools", () => {
    const { paths } = layout(catalogue, { UAIT_HOME: "/elsewhere" }, "/checkout");
    expect(paths).toMatchObject({ run: "/elsewhere/run", devKey: "/elsewhere/dev.key", install: "/checkout/.uait" });
  });

  it.each(["80", "many", "65530", "20000.5", "-1"])("base_%s_isRefusedWithItsRange", (base) => {
    expect(() => layout(catalogue, { UAIT_PORT_BASE: base }, "/checkout")).toThrow(
      /^UAIT_PORT_BASE=.*: must be 1024 to \d+$/,
    );
  });

  it("tls_takesOnOrOffOnly", () => {
    expect(layout(catalogue, { UAIT_TLS: "on" }, "/checkout").tls).toBe(true);
    expect(() => layout(catalogue, { UAIT_TLS: "yes" }, "/checkout")).toThrow(Failure);
  });

  it("replicas_haveTheirOwnProcessAndPorts", () => {
    const [first, ...others] = catalogue.services;
    if (first === undefined) throw new Error("the catalogue is empty");
    const mesh = layout({ ...catalogue, services: [{ ...first, replicas: 2 }, ...others] }, {}, "/checkout");
    expect(mesh.replicas.slice(0, 2).map(({ process, port, httpPort }) => [process, port, httpPort])).toEqual([
      ["echo-ts", 8001, 18_001],
      ["echo-ts-1", 8201, 18_201],
    ]);
  });
});
