import { httpPort } from "../catalogue/rules.js";
import type { Catalogue } from "../catalogue/schema.js";
import { folderOf } from "./programs.js";

const OPEN = "<!-- services -->";
const CLOSE = "<!-- /services -->";
const LANGUAGE = { typescript: "TypeScript", go: "Go", rust: "Rust", python: "Python" } as const;

/** The README with its table of services made anew between the two markers. */
export function readmeWithTable(readme: string, catalogue: Catalogue): string {
  const open = readme.indexOf(OPEN);
  const close = readme.indexOf(CLOSE);
  if (open < 0 || close < open) throw new Error(`README.md needs the markers ${OPEN} and ${CLOSE}`);
  return `${readme.slice(0, open + OPEN.length)}\n${table(catalogue)}\n${readme.slice(close)}`;
}

function table(catalogue: Catalogue): string {
  const services = catalogue.services.map((service) => {
    const name = service.state === "built" ? `[${service.name}](${folderOf(service)})` : service.name;
    return row(
      name,
      LANGUAGE[service.language],
      `${service.port}, ${httpPort(service)}`,
      service.grpc.map((full) => `\`${full}\``).join("<br>"),
      service.state === "built" ? "runs" : "contract",
      service.purpose,
    );
  });
  const infrastructure = catalogue.infrastructure.map((part) => {
    const ports = Object.entries(part.ports).map(([name, port]) => `${port} ${name.replaceAll("_", " ")}`);
    return row(part.name, part.version, ports.join(", "), part.purpose);
  });
  return [
    row("service", "language", "gRPC, HTTP port", "gRPC services", "state", "purpose"),
    "|---|---|---|---|---|---|",
    ...services,
    "",
    row("infrastructure", "version", "ports", "purpose"),
    "|---|---|---|---|",
    ...infrastructure,
  ].join("\n");
}

function row(...cells: string[]): string {
  return `| ${cells.join(" | ")} |`;
}
