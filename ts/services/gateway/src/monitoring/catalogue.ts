import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";

const call = z.union([z.string(), z.object({ service: z.string() }).transform(({ service }) => service)]);
// Of the whole schema (ts/apps/cli/src/catalogue) what is told of the mesh; the rest may change without this service.
const schema = z.object({
  services: z.array(
    z.object({
      name: z.string(),
      language: z.string(),
      grpc: z.array(z.string()),
      calls: z.array(call).default([]),
      replicas: z.int().default(1),
      state: z.enum(["built", "contract"]),
    }),
  ),
});

/** A service as the catalogue declares it. */
export interface DeclaredService {
  readonly name: string;
  readonly language: string;
  readonly grpc: readonly string[];
  readonly calls: readonly string[];
  readonly replicas: number;
}

/** The services of deploy/mesh.yaml that have a process, by name. @throws Error for a file that is none */
export function readCatalogue(path: string): DeclaredService[] {
  const { services } = schema.parse(parse(readFileSync(path, "utf8")));
  return services.filter(({ state }) => state === "built").sort((a, b) => (a.name < b.name ? -1 : 1));
}
