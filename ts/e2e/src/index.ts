export { type Server, type Start, servers } from "./conformance/languages.js";
export { makeTls, type RunningEnvoy, startEnvoy } from "./conformance/surroundings.js";
export { withFolder } from "./harness/folder.js";
export { Nats } from "./harness/nats.js";
export { accepts, freeBase, freePorts, until } from "./harness/network.js";
export { Process } from "./harness/process.js";
export { inRepository, program, repository } from "./harness/repository.js";
