import type { MonitoringServiceImplementation } from "@uait/gen/uait/gateway/v1/monitoring.js";
import type { ServerCallContext } from "@uait/kit";
import { GatewayError } from "./error.js";

/** The handlers of MonitoringService. */
export function createMonitoringHandler(): MonitoringServiceImplementation<ServerCallContext> {
  const notYet = (what: string, why: string) => async (): Promise<never> => {
    throw new GatewayError({ kind: "not_implemented", what, why });
  };
  return {
    getMeshHealth: notYet("GetMeshHealth", "the mesh's figures of the last minute are not collected yet"),
    listBreakers: notYet("ListBreakers", "Envoy's breakers are not read yet"),
    resetBreaker: notYet("ResetBreaker", "Envoy has no way to take an ejected endpoint back before its time"),
    getTopology: notYet("GetTopology", "calls are not read from traces yet"),
  };
}
