import type { Language } from "../catalogue/schema.js";

/** What the names of the template become. */
export interface NewService {
  /** Catalogue name, such as "price-watch". */
  readonly name: string;
  readonly language: Language;
  /** gRPC port. */
  readonly port: number;
}

/** The living template of each language as the catalogue knows it. */
export const TEMPLATES: Readonly<Record<Language, { name: string; port: number }>> = {
  typescript: { name: "echo-ts", port: 8001 },
  go: { name: "echo-go", port: 8002 },
  rust: { name: "echo-rust", port: 8003 },
  python: { name: "echo-python", port: 8004 },
};

/** A name as a proto package, a Python module and a Rust path spell it. */
export function snakeCase(name: string): string {
  return name.replaceAll("-", "_");
}

/** A name as types spell it. */
export function pascalCase(name: string): string {
  return name
    .split("-")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("");
}

/**
 * The text of a file of the template under the new service's names. RPCs, messages and the event `Echoed` keep theirs: they are
 * what the new service's author replaces.
 */
export function renamed(text: string, service: NewService): string {
  const template = TEMPLATES[service.language];
  const snake = snakeCase(service.name);
  const pascal = pascalCase(service.name);
  const camel = pascal.charAt(0).toLowerCase() + pascal.slice(1);
  const rules: readonly (readonly [RegExp, string])[] = [
    [new RegExp(`\\b${template.name}\\b`, "g"), service.name],
    [new RegExp(`\\b${template.port}\\b`, "g"), String(service.port)],
    [/EchoService/g, `${pascal}Service`],
    [/\becho_service/g, `${snake}_service`],
    // Packages: uait.echo.v1, uait/echo/v1, uait_gen::echo::v1, and Go's name for the import.
    [/\becho(\.|\/|::)v1\b/g, `${snake}$1v1`],
    [/\bechov1\b/g, `${snake.replaceAll("_", "")}v1`],
    // Files named after the package.
    [/(?<=\bv1[/.])echo(?=\.js|\.proto|\.pb|_pb)/g, snake],
    [/\becho(?=_pb2)/g, snake],
    // Folders, modules and packages of the service itself.
    [/(?<=\bservices\/)echo\b/g, service.language === "python" ? snake : service.name],
    [/(?<=\bservices\.)echo\b/g, snake],
    [/@uait\/echo\b/g, `@uait/${service.name}`],
    [/\buait-echo\b/g, `uait-${service.name}`],
    [/\buait_echo\b/g, `uait_${snake}`],
    [/\bCARGO_BIN_EXE_echo\b/g, `CARGO_BIN_EXE_${service.name}`],
    [/\bname = "echo"/g, `name = "${service.name}"`],
    [/\/api\/v1\/echo\b/g, `/api/v1/${service.name}`],
    // Its own types and functions.
    [/\bEcho(?=Handler|Error|Config|Failure)/g, pascal],
    [/\becho(?=Handler|Error|Config|Failure)/g, camel],
    [/\b(start|register)Echo\b/g, `$1${pascal}`],
  ];
  return rules.reduce((changed, [pattern, replacement]) => changed.replace(pattern, replacement), text);
}
