export { type Address, addressOf, type Backend } from "./backend.js";
export { type MeshOnlyInput, renderMeshOnly } from "./mesh-only.js";
export { type EnvoyFiles, type EnvoyPlan, LOOPBACK_ORIGINS, type PlanOptions, planOf } from "./plan.js";
export { renderEnvoy, renderMade } from "./render.js";
