/** What a stranger with grpcurl sees at the edge. */
import { beforeAll, expect, test } from "vitest";
import { Mesh } from "./mesh.js";

let mesh: Mesh;

beforeAll(async () => {
  mesh = await Mesh.open();
});

test("list_names_every_service_of_the_catalogue", async () => {
  const listed = (await mesh.grpcurl(mesh.edge, "list")).trim().split("\n");
  const expected = mesh.catalogue.services.flatMap(({ grpc }) => grpc);
  expect(expected.filter((service) => !listed.includes(service))).toEqual([]);
});

test("describe_knows_a_service_that_has_no_process_yet", async () => {
  expect(await mesh.grpcurl(mesh.edge, "describe", "uait.orchestrator.v1.OrchestratorService")).toContain("rpc Run");
});

test("call_without_key_is_unauthenticated", async () => {
  await expect(mesh.grpcurl("-d", '{"message":"x"}', mesh.edge, "uait.echo.v1.EchoService/Echo")).rejects.toThrow(
    /Unauthenticated/,
  );
});

test("call_with_key_is_answered_by_each_language", async () => {
  for (const service of ["echo-ts", "echo-go", "echo-rust", "echo-python"]) {
    const headers = ["-H", `authorization: Bearer ${mesh.key}`, "-H", `x-uait-service: ${service}`];
    const answer = await mesh.grpcurl(...headers, "-d", '{"message":"x"}', mesh.edge, "uait.echo.v1.EchoService/Echo");
    expect(JSON.parse(answer)).toMatchObject({ message: "x", seen: { service, tenant: "dev", subject: "dev" } });
  }
});
