import { HealthDefinition } from "nice-grpc-server-health";
import type { Mesh } from "./dial.js";
import { Status, StatusError } from "./status.js";

/** What a health check answers; `absent` for a name that the service does not know. */
export type HealthAnswer = "serving" | "not_serving" | "absent";

const SERVING = 1;
const CHECK_TIMEOUT_MS = 1000;

/**
 * Asks a service of the mesh how a part of it is.
 *
 * @param part a gRPC service's full name, `events`, or empty for the whole
 * @throws StatusError when it cannot be asked
 */
export async function checkHealth(mesh: Mesh, service: string, part: string): Promise<HealthAnswer> {
  try {
    const options = { service, timeoutMs: CHECK_TIMEOUT_MS, untraced: true };
    const { status } = await mesh.client(HealthDefinition).check({ service: part }, options);
    return status === SERVING ? "serving" : "not_serving";
  } catch (error) {
    if (error instanceof StatusError && error.code === Status.NOT_FOUND) return "absent";
    throw error;
  }
}
