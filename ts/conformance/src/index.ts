export { type Case, readCases } from "./case-file.js";
export { type CaseResult, type RunOptions, runCases } from "./case-runner.js";
export { dynamicLibrary } from "./dynamic-client.js";
export type { ClientLibrary, Target } from "./echo-client.js";
export { generatedLibrary } from "./generated-client.js";
export { runWireChecks, WIRE_CHECKS } from "./wire-checks.js";
